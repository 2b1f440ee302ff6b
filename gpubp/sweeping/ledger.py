"""What a sweep has done so far, in a folder: results of networks, and snapshots of those in training.

A sweep that goes on runs its strategy again from the start: what a network's result depends on is known before it is
trained, so results that are kept are taken from the ledger, and all others are trained, from the latest snapshot that
is kept of them, or from nothing. Hence no order of the files matters but one: a result is written before a snapshot
that goes beyond it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.array_files import read_array_file, write_array_file
from gpubp.backends import Backend
from gpubp.errors import DataError, GpubpError
from gpubp.sweeping.cohort import Cohort
from gpubp.sweeping.job import Job
from gpubp.sweeping.trial import Result
from gpubp.training import Snapshot

Network = tuple[int, int]  # trial, fold


@dataclass(frozen=True, eq=False)
class _Kept:
    """A file of snapshots: whose they are, in its order."""

    networks: tuple[Network, ...]
    snapshot: Snapshot
    seconds: np.ndarray


class Ledger:
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
    def open(cls, folder: Path, seconds: float, tell: Callable[[str], None]) -> Ledger:
        """With all that the folder holds. DataError, with the remedy, for a damaged file."""
        found = cls(folder, seconds, tell)
        for path in sorted(folder.glob("*.safetensors")):
            try:
                arrays, described = read_array_file(path, "a checkpoint", "")
                if path.name.startswith("results-"):
                    found.results |= dict(_results(arrays))
                else:
                    found._keep(path.name, _kept(arrays, described))
            except (GpubpError, KeyError, TypeError, ValueError) as error:
                raise DataError(f"{path} is damaged ({error}). Remove it: what it held is trained again.") from error
            found._number = max(found._number, int(path.stem.rpartition("-")[2]))
        return found

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
        write_array_file(self.folder / name, arrays, described, alone=True)
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
    """Predictions of all networks are one below the other."""
    arrays = {"keys": np.array([*results], dtype=np.int64)}
    for name, dtype in _COLUMNS.items():
        arrays[name] = np.array([getattr(result, name) for result in results.values()], dtype=dtype)
    predictions = [result.predictions for result in results.values()]
    known = [table for table in predictions if table is not None]
    arrays["rows"] = np.array([-1 if table is None else len(table) for table in predictions], dtype=np.int64)
    arrays["predictions"] = np.concatenate(known) if known else np.zeros((0, 0), dtype=np.float32)
    return arrays, {}


_COLUMNS = {"score": np.float64, "epochs": np.int64, "diverged": np.int64, "seconds": np.float64}


def _results(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[tuple[int, int, int], Result]]:
    """KeyError, TypeError or ValueError for what `_parts_of` has not made."""
    columns = [arrays[name].tolist() for name in ("keys", *_COLUMNS, "rows")]
    first = 0
    for (trial, fold, rung), score, epochs, diverged, seconds, rows in zip(*columns, strict=True):
        predictions = None if rows < 0 else arrays["predictions"][first : first + rows]
        if predictions is not None and len(predictions) != rows:
            raise ValueError("predictions are missing")
        first += max(rows, 0)
        yield (trial, fold, rung), Result(score, epochs, diverged, seconds, predictions)


def _kept(arrays: Mapping[str, np.ndarray], described: Any) -> _Kept:
    snapshot = Snapshot.from_parts(arrays, described["snapshot"])
    networks = tuple((int(trial), int(fold)) for trial, fold in described["networks"])
    seconds = arrays["seconds_of_each"]
    if not len(networks) == len(seconds) == len(snapshot):
        raise ValueError("it does not say whose snapshots these are")
    return _Kept(networks, snapshot, seconds)
