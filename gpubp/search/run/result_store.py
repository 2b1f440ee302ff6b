"""What a sweep has done so far, in a folder: results of networks, and snapshots of those in training.

A sweep that goes on runs its strategy again from the start: what a network's result depends on is known before it is
trained, so results that are kept are taken from the store, and all others are trained, from the latest snapshot that
is kept of them, or from nothing. Hence no order of the files matters but one: a result is written before a snapshot
that goes beyond it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.backends import Backend
from gpubp.errors import DataError, ModelFileError
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.job import Job, population_key
from gpubp.search.run.trial import Result
from gpubp.storage.array_files import array, read_array_file, write_array_file
from gpubp.storage.schema import Given
from gpubp.training.snapshot import Snapshot

Network = tuple[int, int]  # trial, fold
REMEDY = "Remove it: what it held is trained again."


@dataclass(frozen=True, eq=False)
class _Kept:
    """A file of snapshots: whose they are, in its order."""

    networks: tuple[Network, ...]
    snapshot: Snapshot
    seconds: np.ndarray


class ResultStore:
    """In `folder`, brought up to date every `seconds`. Several threads may train at once, one per cohort."""

    def __init__(self, folder: Path, seconds: float, tell: Callable[[str], None]) -> None:
        self.folder, self.seconds, self.tell = folder, seconds, tell
        self.results: dict[tuple[int, int, int], Result] = {}  # by trial, fold and rung
        self._pending: dict[tuple[int, int, int], Result] = {}
        self._kept: dict[str, _Kept] = {}  # what was there at the beginning
        self._holder: dict[Network, tuple[int, str]] = {}  # the epoch of each network's latest snapshot, and its file
        self._files: set[str] = set()
        self._done: set[Network] = set()
        self._number, self._failed = 0, False
        self._lock = threading.RLock()
        self._began = time.monotonic()
        self._round: dict[int, int] = {}  # by thread: when it wrote last

    @classmethod
    def open(cls, folder: Path, seconds: float, tell: Callable[[str], None]) -> ResultStore:
        """With all that the folder holds. DataError, with the remedy, for a damaged file."""
        found = cls(folder, seconds, tell)
        for path in sorted(folder.glob("*.safetensors")):
            try:
                found._add_file(path)
            except ModelFileError as error:
                raise DataError(str(error)) from error
            except DataError as error:
                raise DataError(f"{path} is damaged: {error} {REMEDY}") from error
        return found

    def _add_file(self, path: Path) -> None:
        """DataError for what is no file of a ledger, or one that was copied."""
        name = re.fullmatch(r"(results|cohort)-([0-9]{8,18})\.safetensors", path.name)
        if name is None:
            raise DataError("a file of that name belongs to no ledger.")
        arrays, described = read_array_file(path, "a checkpoint", REMEDY)
        given, number = Given(described), int(name[2])
        if not given.get("number").is_null and given["number"].whole() != number:
            raise DataError(f"it is a copy of {name[1]}-{given['number'].whole():08d}.safetensors.")
        if name[1] == "cohort":
            self._keep(path.name, _kept(arrays, given))
        else:
            for key, result in _results(arrays):
                if key in self.results:
                    raise DataError(f"another file has the result of trial {key[0]}, fold {key[1]}, too: it is a copy.")
                self.results[key] = result
        self._number = max(self._number, number)

    @property
    def empty(self) -> bool:
        return not self.results and not self._kept

    def due(self) -> bool:
        """Whether this thread has written nothing for `seconds`."""
        return self._now() > self._round.get(threading.get_ident(), 0)

    def add(self, network: Network, rung: int, result: Result) -> None:
        with self._lock:
            self._pending[(*network, rung)] = result

    def forget(self, networks: Iterable[Network]) -> None:
        """Their snapshots are needed no more."""
        with self._lock:
            for network in networks:
                self._holder.pop(network, None)
                self._done.add(network)

    def resumed(self, jobs: Sequence[Job], backend: Backend) -> list[Cohort]:
        """Cohorts of those of the jobs of which a snapshot is kept."""
        of_network = {network_of(job): job for job in jobs}
        cohorts = []
        for name, kept in self._kept.items():
            chosen = [
                p
                for p, network in enumerate(kept.networks)
                if network in of_network and self._holder.get(network, (0, ""))[1] == name
            ]
            if chosen:
                part = kept.snapshot.take(np.array(chosen))
                own = [of_network[kept.networks[p]] for p in chosen]
                if len({population_key(job) for job in own}) > 1:
                    raise DataError(f"{self.folder / name} is damaged: its networks are not of one kind. {REMEDY}")
                cohorts.append(Cohort.resume(own, part, kept.seconds[chosen], backend))
        return cohorts

    def flush(self, cohorts: Sequence[Cohort] = ()) -> None:
        """Write what has come since the last time: first results, then snapshots. A disk that does not take them is
        told of once; they are tried again the next time.
        """
        with self._lock:
            self._round[threading.get_ident()] = self._now()
            try:
                self.folder.mkdir(exist_ok=True)
                if self._pending:
                    self._write("results", *_parts_of(self._pending))
                    self.results |= self._pending
                    self._pending = {}
                for cohort in cohorts:
                    self._write_snapshot(cohort)
                self._clear()
            except (DataError, OSError) as error:
                if not self._failed:
                    self._failed = True
                    self.tell(f"No checkpoint could be written; the sweep goes on without. {error}")

    def _write_snapshot(self, cohort: Cohort) -> None:
        networks, snapshot = [network_of(job) for job in cohort.jobs], cohort.snapshot
        if snapshot is None or all(self._is_kept(network, snapshot.epoch) for network in networks):
            return
        described = {"networks": networks, "snapshot": snapshot.to_metadata()}
        name = self._write("cohort", snapshot.to_arrays() | {"seconds_of_each": cohort.seconds}, described)
        self._holder |= dict.fromkeys(networks, (snapshot.epoch, name))

    def _is_kept(self, network: Network, epoch: int) -> bool:
        """Whether there is a snapshot as late, or none is needed."""
        return network in self._done or self._holder.get(network, (0, ""))[0] >= epoch

    def _write(self, kind: str, arrays: Mapping[str, np.ndarray], described: Any) -> str:
        self._number += 1
        name = f"{kind}-{self._number:08d}.safetensors"
        write_array_file(self.folder / name, arrays, {"number": self._number, **described}, alone=True)
        if kind == "cohort":
            self._files.add(name)
        return name

    def _clear(self) -> None:
        """Remove the snapshots that are nobody's latest."""
        needed = {name for _, name in self._holder.values()}
        for name in self._files - needed:
            (self.folder / name).unlink(missing_ok=True)
            self._kept.pop(name, None)
        self._files &= needed

    def _keep(self, name: str, kept: _Kept) -> None:
        self._kept[name] = kept
        self._files.add(name)
        for network in kept.networks:
            if self._holder.get(network, (0, ""))[0] < kept.snapshot.epoch:
                self._holder[network] = (kept.snapshot.epoch, name)

    def _now(self) -> int:
        """The number of the round: each lasts `seconds`."""
        return int((time.monotonic() - self._began) / max(self.seconds, 1e-3))


def network_of(job: Job) -> Network:
    record, fold = job.owner
    return record.configuration.number, fold


def _parts_of(results: Mapping[tuple[int, int, int], Result]) -> tuple[dict[str, np.ndarray], Any]:
    """Predictions of all networks are one below the other, and so are their parameters, where these are kept."""
    arrays = {"keys": np.array([*results], dtype=np.int64)}
    for name, dtype in _COLUMNS.items():
        arrays[name] = np.array([getattr(result, name) for result in results.values()], dtype=dtype)
    predictions = [result.predictions for result in results.values()]
    known = [table for table in predictions if table is not None]
    arrays["rows"] = np.array([-1 if table is None else len(table) for table in predictions], dtype=np.int64)
    arrays["predictions"] = np.concatenate(known) if known else np.zeros((0, 0), dtype=np.float32)
    networks = [result.params for result in results.values() if result.params is not None]
    if networks:
        arrays["sizes"] = np.array([0 if r.params is None else r.params.size for r in results.values()], dtype=np.int64)
        arrays["params"] = np.concatenate(networks)
    return arrays, {}


_COLUMNS = {"score": np.float64, "epochs": np.int64, "diverged": np.int64, "seconds": np.float64}


def _results(arrays: Mapping[str, np.ndarray]) -> list[tuple[tuple[int, int, int], Result]]:
    """DataError for what `_parts_of` has not made."""
    keys = array(arrays, "keys", (None, 3), np.int64, least=0)
    n = keys.shape[:1]
    score = array(arrays, "score", n, np.float64, finite=False)
    epochs = array(arrays, "epochs", n, np.int64, least=0)
    diverged = array(arrays, "diverged", n, np.int64, least=-1)
    seconds = array(arrays, "seconds", n, np.float64, least=0.0)
    rows = array(arrays, "rows", n, np.int64, least=-1, most=2**31)
    ends = np.cumsum(np.maximum(rows, 0))
    total = int(ends[-1]) if len(ends) else 0
    predictions = array(arrays, "predictions", (total, None), np.float32, finite=False)
    networks = _networks(arrays, n)
    found = []
    for i, (trial, fold, rung) in enumerate(keys.tolist()):
        own = None if rows[i] < 0 else predictions[ends[i] - rows[i] : ends[i]]
        result = Result(float(score[i]), int(epochs[i]), int(diverged[i]), float(seconds[i]), own, networks[i])
        found.append(((trial, fold, rung), result))
    return found


def _networks(arrays: Mapping[str, np.ndarray], n: tuple[int, ...]) -> list[np.ndarray | None]:
    """The flat parameters of each network; None for those that were not kept."""
    if "params" not in arrays:
        return [None] * n[0]
    sizes = array(arrays, "sizes", n, np.int64, least=0, most=2**40)
    params = array(arrays, "params", (int(sizes.sum()),), np.float32, np.float64, finite=False)
    parts = np.split(params, np.cumsum(sizes)[:-1])
    return [part if len(part) else None for part in parts]


def _kept(arrays: Mapping[str, np.ndarray], given: Given) -> _Kept:
    snapshot = Snapshot.from_parts(arrays, given["snapshot"].value)
    networks = given["networks"].each(_network)
    if len({*networks}) != len(snapshot) or len(networks) != len(snapshot):
        raise given["networks"].wrong(f"trial and fold of {len(snapshot)} different networks")
    return _Kept(networks, snapshot, array(arrays, "seconds_of_each", (len(snapshot),), np.float64, least=0.0))


def _network(given: Given) -> Network:
    numbers = given.each(Given.whole)
    if len(numbers) != 2:
        raise given.wrong("a trial and a fold")
    return numbers[0], numbers[1]
