"""A cohort: jobs that train side by side as one population, and can be thinned, joined, and gone on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gpubp.backends import Backend
from gpubp.population import Population
from gpubp.sweeping.histories import first_lost, of_networks, one_after_the_other, side_by_side
from gpubp.sweeping.job import Job, Sheet, population_settings
from gpubp.training import History, TrainingState, train

PREDICTION_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Cohort:
    """P networks of one key (see `population_key`), all after the same number of epochs.

    diverged_epoch, best_epoch (P,): as in History, counted from the first epoch of all. epochs (P,): completed.
    seconds (P,): each network's share of the time that it was trained. history: of all epochs, over all calls of
    `train`; None before the first.
    """

    jobs: tuple[Job, ...]
    population: Population
    state: TrainingState
    epochs: np.ndarray
    diverged_epoch: np.ndarray
    best_epoch: np.ndarray
    seconds: np.ndarray
    history: History | None = None

    @classmethod
    def start(cls, jobs: Sequence[Job], backend: Backend) -> Cohort:
        first, n = jobs[0], len(jobs)
        seeds = np.array([job.seed for job in jobs], dtype=np.uint64)
        # `initialize` names a function too; a network's weights come from its own seed alone
        population = Population.initialize(
            first.architecture,
            seeds,
            backend,
            initializer=first.initializer,  # type: ignore[arg-type]
            dtype=first.dtype,
        )
        never = np.full(n, -1, dtype=np.int64)
        return cls(tuple(jobs), population, TrainingState(), np.zeros(n, np.int64), never, never, np.zeros(n))

    def __len__(self) -> int:
        return len(self.jobs)

    def train(self, until: int, engine: str) -> Cohort:
        """The cohort after so many epochs in all. This one stays as it is, whatever goes wrong on the way."""
        if until <= self.state.epoch:
            return self
        X, T, weights, first_row = stacked([job.sheet for job in self.jobs])
        held = [start + job.held for job, start in zip(self.jobs, first_row, strict=True) if job.held is not None]
        population, state, done = self.population.copy(), copied(self.state), self.state.epoch
        history = train(
            population,
            X,
            T,
            population_settings(self.jobs, until - done),
            rows=[start + job.rows for job, start in zip(self.jobs, first_row, strict=True)],
            validation_rows=held or None,
            row_weights=weights,
            engine=engine,
            state=state,
        )
        work = np.array([len(job.rows) for job in self.jobs]) * history.epochs
        return replace(
            self,
            population=population,
            state=state,
            epochs=self.epochs + history.epochs,
            diverged_epoch=first_lost(self.diverged_epoch, history.diverged_epoch, done),
            best_epoch=np.where(history.best_epoch >= 0, history.best_epoch + done, self.best_epoch),
            seconds=self.seconds + history.seconds * work / max(1, work.sum()),
            history=history if self.history is None else one_after_the_other(self.history, history),
        )

    def take(self, networks: Sequence[int] | np.ndarray) -> Cohort:
        """The networks at these places alone."""
        chosen = np.asarray(networks, dtype=np.int64)
        state = self.state
        taken = TrainingState(
            state.epoch,
            None if state.updates is None else state.updates[chosen],
            {name: slot[chosen] for name, slot in state.slots.items()},
            None if state.rate_factor is None else state.rate_factor[chosen],
        )
        each = ("epochs", "diverged_epoch", "best_epoch", "seconds")
        return replace(
            self,
            jobs=tuple(self.jobs[p] for p in chosen),
            population=self.population.take(chosen),
            state=taken,
            history=None if self.history is None else of_networks(self.history, chosen),
            **{name: getattr(self, name)[chosen] for name in each},
        )

    @staticmethod
    def join(cohorts: Sequence[Cohort]) -> Cohort:
        """Cohorts of one key and as many epochs, as one."""
        first = cohorts[0]
        if len(cohorts) == 1:
            return first
        states = [cohort.state for cohort in cohorts]
        state = TrainingState(first.state.epoch)
        if state.epoch:
            state.updates = np.concatenate([s.updates for s in states if s.updates is not None])
            state.rate_factor = np.concatenate([s.rate_factor for s in states if s.rate_factor is not None])
            state.slots = {name: np.concatenate([s.slots[name] for s in states]) for name in states[0].slots}
        each = ("epochs", "diverged_epoch", "best_epoch", "seconds")
        histories = [cohort.history for cohort in cohorts if cohort.history is not None]
        return replace(
            first,
            jobs=tuple(job for cohort in cohorts for job in cohort.jobs),
            population=Population.concatenate([cohort.population for cohort in cohorts]),
            state=state,
            history=side_by_side(histories) if histories else None,
            **{name: np.concatenate([getattr(cohort, name) for cohort in cohorts]) for name in each},
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
        bytes_each = n_rows * sum(shape.sizes) * 2 * self.population.dtype.itemsize
        at_once = max(1, PREDICTION_BYTES // bytes_each)
        found = np.empty((len(self), n_rows, shape.n_outputs), dtype=self.population.dtype)
        for first in range(0, len(self), at_once):
            networks = np.arange(first, min(first + at_once, len(self)))
            found[networks] = backend.to_host(self.population.take(networks).predict(X[rows[networks]]))
        return found

    def params_on_host(self) -> np.ndarray:
        """(P, K), a copy."""
        return self.population.state()["params"]


def stacked(sheets: Sequence[Sheet]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, list[int]]:
    """X, T and weights of the distinct sheets, one below the other, and the row on which each network's begins."""
    distinct = list({id(sheet): sheet for sheet in sheets}.values())
    begins = np.cumsum([0, *(len(sheet.X) for sheet in distinct)])
    place = {id(sheet): int(begin) for sheet, begin in zip(distinct, begins[:-1], strict=True)}
    first_row = [place[id(sheet)] for sheet in sheets]
    if len(distinct) == 1:
        return distinct[0].X, distinct[0].T, distinct[0].weights, first_row
    weights = [sheet.weights for sheet in distinct if sheet.weights is not None]
    return (
        np.concatenate([sheet.X for sheet in distinct]),
        np.concatenate([sheet.T for sheet in distinct]),
        np.concatenate(weights) if weights else None,
        first_row,
    )


def copied(state: TrainingState) -> TrainingState:
    """A state that `train` may bring up to date; the arrays are replaced, never changed, so they may be shared."""
    return replace(state, slots=dict(state.slots))
