"""The folder of a sweep: what it is a sweep of, whether it is done, and its store of results. One process at a time."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.errors import DataError, SettingsError
from gpubp.fitting.array_data import ArrayData
from gpubp.fitting.table_data import TableData
from gpubp.search.run.folds import Split
from gpubp.search.run.result_store import ResultStore
from gpubp.search.strategies.study_storage import masked_text
from gpubp.storage.files import make_folder, write_whole
from gpubp.storage.json_values import parse, sealed, unsealed
from gpubp.storage.locks import Lock
from gpubp.storage.schema import Given
from gpubp.tables.forks import require_polars
from gpubp.training.checkpoint import digest, told_apart

FORMAT = "gpubp sweep"
DESCRIPTION, CHECKPOINT = "sweep.json", "checkpoint"


class Finished(SettingsError):
    """The sweep that is to be resumed has come to its end: there is nothing left to do."""


class RunFolder:
    """`DESCRIPTION` says what the sweep is of, and whether it is finished; `CHECKPOINT` holds results until then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = Lock(path / "sweep")
        self.meaning: Mapping[str, Any] = {}
        # Puts back the description that was there, or none: for a run that ends before it has kept anything.
        self.undo: Callable[[], object] | None = None

    def open(
        self, meaning: Mapping[str, Any], resume: bool, seconds: float, tell: Callable[[str], None]
    ) -> ResultStore:
        """The store: of the sweep that was cut short, or an empty one. Nobody else may open it until `close`.

        resume: go on with what is there. SettingsError for another sweep's folder, or, without `resume`, an unfinished
        sweep's; Finished for one that has ended; DataError where another process is at work, or for damaged files.
        """
        make_folder(self.path)
        self.lock.hold(f"{self.path} holds a sweep that is being run")
        try:
            return self._open(meaning, resume, seconds, tell)
        except BaseException:
            self.close()
            raise

    def _open(
        self, meaning: Mapping[str, Any], resume: bool, seconds: float, tell: Callable[[str], None]
    ) -> ResultStore:
        self.meaning = json.loads(json.dumps(meaning))
        if (self.path / CHECKPOINT).is_symlink():
            raise DataError(f"{self.path / CHECKPOINT} is a link, which no sweep has made: remove it.")
        found, place = self._described(), self.path / CHECKPOINT
        unfinished = found is not None and not found.get("finished") and any(place.glob("*.safetensors"))
        if resume and found is not None:
            apart = told_apart(found.get("meaning"), _comparable(self.meaning, found["meaning"]))
            if apart is not None:
                raise SettingsError(
                    f"{self.path} holds another sweep: {masked_text(apart)}. Resume with the same table and options, "
                    "or take another folder."
                )
            if found.get("finished"):
                raise Finished(f"The sweep in {self.path} is finished: there is nothing to resume.")
        elif unfinished:
            raise SettingsError(
                f"{self.path} holds a sweep that was cut short: go on with it (--resume, or resume=True), take another "
                "folder, or remove this one."
            )
        else:
            shutil.rmtree(place, ignore_errors=True)
            path, undo = self.path / DESCRIPTION, None
            if found is not None:
                undo = partial(write_whole, path, path.read_bytes(), alone=True)
            self._describe(finished=False)
            self.undo = undo or path.unlink
        return ResultStore.open(place, seconds, tell)

    def finish(self) -> None:
        """Once its results are safe: the store is not needed any more."""
        self._describe(finished=True)
        self.undo = None
        shutil.rmtree(self.path / CHECKPOINT, ignore_errors=True)

    def close(self) -> None:
        """A sweep that ends before it has kept anything leaves the description that it found."""
        undo, self.undo = self.undo, None
        if undo is not None and not any((self.path / CHECKPOINT).glob("*.safetensors")):
            with suppress(OSError, DataError):
                undo()
        self.lock.release()

    def _describe(self, finished: bool) -> None:
        described = {"format": FORMAT, "finished": finished, "meaning": self.meaning}
        write_whole(self.path / DESCRIPTION, (json.dumps(sealed(described), indent=2) + "\n").encode(), alone=True)

    def _described(self) -> dict[str, Any] | None:
        path = self.path / DESCRIPTION
        try:
            found = parse(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"Cannot read {path}: {error.strerror or error}. Take another folder.") from error
        except DataError as error:
            raise DataError(f"{path} cannot be read: {error} Remove the folder, or take another.") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise DataError(f"{path} is not the description of a sweep. Take another folder.")
        try:
            found = unsealed(found)
            given = Given(found)
            given.only("format", "finished", "meaning")
            given["finished"].flag()
            given["meaning"].entries()
        except DataError as error:
            raise DataError(
                f"{path} is damaged: {str(error).rstrip('.')}. Remove the folder, or take another."
            ) from error
        return found


def _spelled(classes: np.ndarray | None) -> np.ndarray | None:
    """The labels as bytes: of any length and type."""
    return None if classes is None else np.frombuffer("\0".join(map(str, classes)).encode(), dtype=np.uint8)


@contextmanager
def for_itself(folder: Path) -> Iterator[None]:
    """For whoever writes a sweep's results into its folder, from before the sweep until they are written: nobody else
    does meanwhile (DataError), whether or not the sweep keeps checkpoints. Where nothing was written, no folder stays.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    make_folder(folder)
    lock = Lock(folder / "results")
    try:
        lock.hold(f"{folder} holds a sweep that is being run")
        yield
    finally:
        lock.release()
        with suppress(OSError):  # it is not empty, as a rule
            for each in made:
                each.rmdir()


def meaning_of(data: ArrayData | TableData, splits: Sequence[Split], **others: Any) -> dict[str, Any]:
    """Everything that a sweep's results depend on, as JSON values."""
    from gpubp._version import __version__

    found: dict[str, Any] = {"gpubp": __version__, "task": data.task}
    found["defaults"] = _defaults()  # of what the space does not name
    if isinstance(data, TableData):
        require_polars("a sweep's folder")
        content = data.table.frame.write_ipc(None, compression="uncompressed").getbuffer()
        found |= {"table": hashlib.sha256(content).hexdigest(), "target": data.name}
        found["categorical columns"] = list(data.dataset.categorical)
        found["ignored columns"] = list(data.dataset.ignored)
    else:
        truth = data.truth if data.index is None else data.index
        found["table"] = digest(data.X, truth, _spelled(data.classes))
    return found | others | {"folds": digest(*(rows for split in splits for rows in split))}


def _defaults(names: Sequence[str] | None = None) -> str:
    """The recipe's defaults, all or those of `names`, in words that do not change with the name of a class."""
    from gpubp.fitting.recipe import Recipe

    values = vars(Recipe())
    listed = ", ".join(f"{name}={values.get(name)!r}" for name in (values if names is None else names))
    return f"Recipe({listed})"


def _comparable(meaning: Mapping[str, Any], before: Mapping[str, Any]) -> Mapping[str, Any]:
    """This sweep's meaning with the defaults alone that a folder knows, which may have been written before there were
    others: what came later and is not in the space has the default, as it was then.
    """
    names = re.findall(r"(\w+)=", str(before.get("defaults")))
    return {**meaning, "defaults": _defaults(names)}
