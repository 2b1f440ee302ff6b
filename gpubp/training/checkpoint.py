"""Checkpoints of a training: a file, written at intervals, that a killed training goes on from."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.errors import DataError, GpubpError, ModelFileError, SettingsError
from gpubp.networks.plan import TrainingPlan
from gpubp.networks.population import Population
from gpubp.networks.settings import EarlyStopping, Settings
from gpubp.storage.artifact import Artifact
from gpubp.storage.files import check_place, is_there, temporary_of
from gpubp.storage.locks import Lock
from gpubp.training.snapshot import Snapshot

FILE = Artifact(format="gpubp checkpoint", what="a checkpoint", remedy="Remove it, and begin anew.")


class Checkpoint:
    """`train(..., checkpoint=Checkpoint(path))` writes a snapshot to `path` every `seconds`, whole or not at all.

    resume: go on from the file where there is one, to the same bits as if nothing had happened; SettingsError where it
    is of another training. Without it a file that is there already is not touched: SettingsError. DataError where
    another training has this file, or where none could be written in its folder: it is this training's own from the
    beginning to the end. The file stays until `remove`, for the trained network is not safe before it is saved. A disk
    that takes no checkpoint is told of once (`tell`, by default as a warning), and the training goes on.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        seconds: float = 60.0,
        resume: bool = False,
        tell: Callable[[str], None] = warnings.warn,
    ) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0:
            raise SettingsError(f"A checkpoint every {seconds!r} seconds: give a number, 0 or more.")
        self.path, self.seconds, self.resume, self.tell = Path(path), seconds, resume, tell
        self.lock = Lock(self.path)
        self.last, self.failed = time.monotonic(), False
        self.meaning: dict[str, Any] = {}

    def check(self) -> None:
        """SettingsError where a file is there that must not be touched, DataError where there is no place for one.

        To be asked before a long preparation.
        """
        check_place(self.path)
        check_place(temporary_of(self.path))
        if is_there(self.path) and not self.resume:
            raise SettingsError(
                f"{self.path} is the checkpoint of a training that was cut short: resume it (--resume, or "
                "Checkpoint(..., resume=True)), or remove the file to begin anew."
            )

    def begin(self, population: Population, plan: TrainingPlan) -> Snapshot | None:
        check_place(self.path)
        self.lock.hold(f"{self.path} is being written")
        try:
            self.check()
            self.meaning, self.last = meaning_of(population, plan), time.monotonic()
            return self._kept() if self.path.exists() else None
        except BaseException:
            self.lock.release()
            raise

    def _kept(self) -> Snapshot:
        """What the file holds. SettingsError where it is of another training; DataError, with the remedy, where it is
        damaged.
        """
        try:
            arrays, found = FILE.read(self.path)
            apart = told_apart(_with_later_settings(found.get("meaning")), self.meaning)
            if apart is not None:
                raise SettingsError(
                    f"{self.path} is the checkpoint of another training: {apart}. Resume with the same table and "
                    "options, or remove the file."
                )
            return Snapshot.from_parts(arrays, found.get("snapshot"))
        except GpubpError as error:
            if isinstance(error, (SettingsError, ModelFileError)):
                raise
            raise DataError(f"{self.path} is damaged: {error} {FILE.remedy}") from error

    def due(self, epoch: int, interrupted: bool) -> bool:
        """Ctrl-C brings a checkpoint up to date, and makes none: what is saved then is the network."""
        return (interrupted and self.path.exists()) or time.monotonic() - self.last >= self.seconds

    def keep(self, snapshot: Snapshot) -> None:
        described = {"meaning": self.meaning, "snapshot": snapshot.to_metadata()}
        try:
            FILE.write(self.path, snapshot.to_arrays(), described, alone=True)
        except DataError as error:
            if not self.failed:
                self.failed = True
                self.tell(f"No checkpoint could be written; the training goes on without. {error}")
        self.last = time.monotonic()

    def ends(self) -> bool:
        return False

    def let_go(self) -> None:
        """The training has ended, or failed: the file is there for another, to resume it."""
        self.lock.release()

    def remove(self) -> None:
        """Remove the file, once the trained network is saved; but not where another training has taken it up."""
        try:
            self.lock.hold(f"{self.path} is being written")
        except DataError:
            return
        for path in (self.path, temporary_of(self.path)):
            path.unlink(missing_ok=True)
        self.lock.release()


def meaning_of(population: Population, plan: TrainingPlan) -> dict[str, Any]:
    """Everything that a training's result depends on, as JSON values: settings one by one, arrays by their digests."""
    from gpubp._version import __version__

    validation = None if plan.validation is None else digest(plan.validation.index, plan.validation.count)
    found = {
        "gpubp": __version__,
        "backend": population.backend.name,
        "network": plan.architecture.to_dict(),
        "dtype": plan.dtype.name,
        "table": digest(population.backend.to_host(plan.X), plan.T, plan.weights),
        "training rows": digest(plan.rows.index, plan.rows.count),
        "validation rows": validation,
        "first weights": digest(population.backend.to_host(population.params), plan.seeds),
        "epochs before": plan.first_epoch,
        **plan.settings.to_dict(),
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def _with_later_settings(before: Any) -> Any:
    """A checkpoint's meaning, with the defaults of settings that came after it was written: as all trainings were."""
    if not isinstance(before, dict):
        return before
    found = {**Settings("squared_error").to_dict(), **before}
    if isinstance(rule := found["early_stopping"], dict):
        found["early_stopping"] = {**asdict(EarlyStopping()), **rule}
    return found


def digest(*arrays: np.ndarray | None) -> str:
    found = hashlib.sha256()
    for array in arrays:
        if array is not None:
            found.update(f"{array.dtype.str} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def told_apart(before: Any, now: Mapping[str, Any]) -> str | None:
    """In words, the first thing in which two trainings differ; None where there is none."""
    if not isinstance(before, dict):
        return "it does not say of which"
    for name in {**now, **before}:
        old, new = before.get(name), now.get(name)
        if old != new:
            what = name.replace("_", " ")
            if isinstance(old, str) and len(old) == 64 and isinstance(new, str):
                return f"the {what} {'are' if what.endswith('s') else 'is'} not the same"
            return f"the {what} was {old!r:.200}, and is {new!r:.200} now"
    return None
