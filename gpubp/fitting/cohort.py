"""A cohort: jobs that train side by side as one population, and can be thinned, joined, and gone on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gpubp.backends import Backend
from gpubp.fitting.histories import of_networks
from gpubp.fitting.job import Job, Sheet, population_settings
from gpubp.networks.population import Population
from gpubp.networks.sampling import Rows
from gpubp.networks.state import TrainingState
from gpubp.operations.network import needs_rows
from gpubp.training.history import Callback, History
from gpubp.training.loop import train
from gpubp.training.snapshot import Snapshot, SnapshotSink

GATHERED_BYTES = 64 << 20
"""Of the test rows that networks of different rows are given at a time. (How many of these rows go through the layers
together is the machine's trait `at_once.prediction_bytes`: see operations/network.py.)"""


@dataclass(frozen=True, eq=False)
class Cohort:
    """P networks of one key (see `population_key`), all after the same number of epochs.

    population: as if their training ended here (early stopping's best weights, where it keeps them). snapshot: what the
    rest of it needs; None before the first epoch. history: of all epochs so far, once `train` was called. seconds (P,):
    each network's share of the time that it was trained.
    """

    jobs: tuple[Job, ...]
    population: Population
    seconds: np.ndarray
    snapshot: Snapshot | None = None
    history: History | None = None

    @classmethod
    def start(cls, jobs: Sequence[Job], backend: Backend) -> Cohort:
        first, X, rows = jobs[0], None, None
        if needs_rows(first.initializer):
            X, _, _, first_row = stacked([job.sheet for job in jobs])
            rows = _rows(jobs, first_row)
        population = Population.initialize(
            first.architecture,
            np.array([job.seed for job in jobs], dtype=np.uint64),
            backend,
            initializer=first.initializer,
            dtype=first.dtype,
            X=X,
            rows=rows,
            zero_last_layer=first.zero_last_layer,
            layer_options=population_settings(jobs, first.epochs).layer_options,
        )
        return cls(tuple(jobs), population, np.zeros(len(jobs)))

    @classmethod
    def resume(cls, jobs: Sequence[Job], snapshot: Snapshot, seconds: np.ndarray, backend: Backend) -> Cohort:
        """Networks whose snapshot was kept."""
        seeds = np.array([job.seed for job in jobs], dtype=np.uint64)
        population = Population.from_host(jobs[0].architecture, snapshot.result, seeds, backend)
        return cls(tuple(jobs), population, seconds, snapshot)

    def __len__(self) -> int:
        return len(self.jobs)

    @property
    def epoch(self) -> int:
        """Epochs done, by those who did not stop early."""
        return 0 if self.snapshot is None else self.snapshot.epoch

    @property
    def state(self) -> TrainingState:
        """For a training that goes on where this one has ended."""
        if self.snapshot is None:
            return TrainingState()
        return self.snapshot.state(np.array([job.settings.learning_rate for job in self.jobs], dtype=np.float64))

    def train(
        self,
        until: int | None = None,
        engine: str = "auto",
        sink: SnapshotSink | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = False,
        state: TrainingState | None = None,
    ) -> Cohort:
        """The cohort after so many epochs in all (None: at the end). This one stays as it is, whatever goes wrong.

        sink, callbacks, progress, state: see `training.loop.train`.
        """
        X, T, weights, first_row = stacked([job.sheet for job in self.jobs])
        validation = [job.validation for job in self.jobs if job.validation is not None]
        population, before = self.population.copy(), self.snapshot
        history = train(
            population,
            X,
            T,
            population_settings(self.jobs, max(job.epochs for job in self.jobs)),
            rows=_rows(self.jobs, first_row),
            validation_rows=_numbered(validation, first_row) if validation else None,
            row_weights=weights,
            engine=engine,
            callbacks=callbacks,
            progress=progress,
            state=state,
            resume=before,
            until=until,
            checkpoint=sink,
        )
        done = np.array([job.n_rows for job in self.jobs]) * (history.epochs - (0 if before is None else before.epochs))
        taken = history.seconds - (0.0 if before is None else before.seconds)
        return replace(
            self,
            population=population,
            seconds=self.seconds + taken * done / max(1, done.sum()),
            snapshot=before if history.snapshot is None else history.snapshot,
            history=history,
        )

    def take(self, networks: Sequence[int] | np.ndarray) -> Cohort:
        """The networks at these places alone."""
        chosen = np.asarray(networks, dtype=np.int64)
        return replace(
            self,
            jobs=tuple(self.jobs[p] for p in chosen),
            population=self.population.take(chosen),
            seconds=self.seconds[chosen],
            snapshot=None if self.snapshot is None else self.snapshot.take(chosen),
            history=None if self.history is None else of_networks(self.history, chosen),
        )

    @staticmethod
    def join(cohorts: Sequence[Cohort]) -> Cohort:
        """Cohorts of one key and as many epochs, as one; its history comes with its next epochs."""
        first = cohorts[0]
        if len(cohorts) == 1:
            return first
        snapshots = [cohort.snapshot for cohort in cohorts if cohort.snapshot is not None]
        return replace(
            first,
            jobs=tuple(job for cohort in cohorts for job in cohort.jobs),
            population=Population.concatenate([cohort.population for cohort in cohorts]),
            seconds=np.concatenate([cohort.seconds for cohort in cohorts]),
            snapshot=Snapshot.join(snapshots) if snapshots else None,
            history=None,
        )

    def test_outputs(self, n_rows: int) -> np.ndarray:
        """(P, n_rows, O) on the host: the outputs for each job's test rows; what lies beyond them means nothing.

        n_rows is the same for all networks of a sweep, and so are the bits of a network's outputs in any cohort.
        """
        backend, shape = self.population.backend, self.jobs[0].architecture
        X, _, _, first_row = stacked([job.sheet for job in self.jobs])
        rows = np.zeros((len(self), n_rows), dtype=np.int64)
        for p, (job, start) in enumerate(zip(self.jobs, first_row, strict=True)):
            assert job.test is not None
            rows[p, : len(job.test)] = start + job.test
        bytes_each = n_rows * (shape.n_inputs + shape.n_values) * 2 * self.population.dtype.itemsize
        at_once = max(1, GATHERED_BYTES // bytes_each)
        found = np.empty((len(self), n_rows, shape.n_outputs), dtype=self.population.dtype)
        for first in range(0, len(self), at_once):
            networks = np.arange(first, min(first + at_once, len(self)))
            found[networks] = backend.to_host(self.population.take(networks).predict(X[rows[networks]]))
        return found

    def params_on_host(self) -> np.ndarray:
        """(P, K), a copy."""
        return self.population.state()["params"]


def _rows(jobs: Sequence[Job], first_row: Sequence[int]) -> Rows:
    """Those that each network trains on; None where all take the whole of one sheet."""
    if all(job.rows is None for job in jobs) and not any(first_row):
        return None
    every = {id(job.sheet): np.arange(job.n_rows) for job in jobs if job.rows is None}
    return _numbered([every[id(job.sheet)] if job.rows is None else job.rows for job in jobs], first_row)


def _numbered(rows: Sequence[np.ndarray], first_row: Sequence[int]) -> np.ndarray | list[np.ndarray]:
    """Each network's rows as those of the stacked sheets; one array where all networks share theirs."""
    if all(each is rows[0] for each in rows) and len({*first_row}) == 1:
        return rows[0] + first_row[0]
    return [each + first for each, first in zip(rows, first_row, strict=True)]


def stacked(sheets: Sequence[Sheet]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, list[int]]:
    """X, T and weights of the distinct sheets, one below the other, and the row on which each network's begins."""
    if all(sheet is sheets[0] for sheet in sheets):
        return sheets[0].X, sheets[0].T, sheets[0].weights, [0] * len(sheets)
    distinct = list({id(sheet): sheet for sheet in sheets}.values())
    begins = np.cumsum([0, *(len(sheet.X) for sheet in distinct)])
    place = {id(sheet): int(begin) for sheet, begin in zip(distinct, begins[:-1], strict=True)}
    first_row = [place[id(sheet)] for sheet in sheets]
    weights = [sheet.weights for sheet in distinct if sheet.weights is not None]
    return (
        np.concatenate([sheet.X for sheet in distinct]),
        np.concatenate([sheet.T for sheet in distinct]),
        np.concatenate(weights) if weights else None,
        first_row,
    )
