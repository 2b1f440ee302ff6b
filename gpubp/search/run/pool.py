"""All networks of a sweep that are in training: cohorts that fit the memory, advanced one after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Generator, Hashable, Iterator, Sequence
from contextlib import closing
from functools import partial

import numpy as np

from gpubp.backends import Backend
from gpubp.backends.compiler_process import CompilersInterrupted
from gpubp.engines.registry import ENGINE_KINDS, FALLBACK
from gpubp.errors import BackendError
from gpubp.fitting.cohort import Cohort
from gpubp.fitting.job import Job, population_key
from gpubp.search.run.cohort_sink import CohortSink
from gpubp.search.run.engines import Engines
from gpubp.search.run.guide import Guide
from gpubp.search.run.memory import parts, widest
from gpubp.search.run.portions import Portions
from gpubp.search.run.rates import Rates
from gpubp.search.run.result_store import ResultStore
from gpubp.search.run.side_by_side import in_order

SIDE_BY_SIDE = 4  # populations: while the kernels of some run, Python prepares others
SIDE_BY_SIDE_IN_TIME = 2  # of a sweep with a budget: those that are cut at its end are in vain


class Pool:
    """Jobs become cohorts: one key each, no more than the memory holds.

    `finish` trains everyone to the end. `advance` and `keep` train in rungs, between which losers leave; networks that
    differ in their number of epochs are not together then. times: see `Engines.choose`. store: keeps snapshots. guide:
    is told of the work, and may end it; where it has only so much time, populations are cut into portions that fit it
    (see `Portions`). rates: of trainings that were measured before.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        backend: Backend,
        engines: Engines,
        budget: int | None,
        times: float = 1.0,
        store: ResultStore | None = None,
        guide: Guide | None = None,
        rates: Rates | None = None,
    ) -> None:
        self.rates = rates or Rates(engines)
        self.backend, self.budget, self.jobs, self.store = backend, budget, jobs, store
        self.guide = guide or Guide()
        groups: dict[Hashable, list[Job]] = {}
        for job in jobs:
            groups.setdefault(population_key(job), []).append(job)
        self.engines, self.engine_of = engines, engines.choose(groups, times)
        self.cohorts: list[Cohort] = []  # that have begun, and wait for their next epochs
        self.interrupted = False

    def engine(self, job: Job) -> str:
        return self.engine_of[population_key(job)]

    def seconds(self) -> float:
        """Expected for all epochs of all jobs, one population after another."""
        portions = self._portions()
        for group in self._groups(self.jobs):
            portions.add(group)
        return portions.seconds()

    def finish(self, known: Container[Job] = ()) -> Generator[Cohort, None, None]:
        """Train everyone to the end of their epochs, but those whose results are known. Cohorts are given as they get
        there, and then let go. Closed before its end, it ends what is in training.
        """
        workers = self._workers()
        begun, fresh = self._begun([job for job in self.jobs if job not in known])
        groups = self._groups(fresh)
        if self.guide.seconds_left() is not None:
            yield from self._in_time(begun, groups, min(workers, SIDE_BY_SIDE_IN_TIME))
            return
        parts = [part for group in groups for part in self._parts(_neighbours(group), workers)]
        starts: list[Callable[[], Cohort]] = [partial(_as_it_is, cohort) for cohort in begun]
        starts += [partial(Cohort.start, part, self.backend) for part in parts]
        tasks = (partial(self._whole, start, workers == 1) for start in starts)
        with closing(in_order(tasks, workers, self.guide.tick, self.guide.leave)) as trained:
            for cohorts in trained:
                yield from cohorts

    def _in_time(self, begun: Sequence[Cohort], groups: Sequence[Sequence[Job]], workers: int) -> Iterator[Cohort]:
        """Portion by portion, as long as there is time for one."""
        portions = self._portions()
        for cohort in begun:
            portions.add(cohort.jobs, cohort)
        for group in groups:
            portions.add(group)
        if not portions.certain():  # the first one tells how fast this machine is
            for start in self._next_starts(portions, workers):
                yield from self._whole(start, ticks=True)

        def tasks() -> Iterator[Callable[[], list[Cohort]]]:
            while starts := self._next_starts(portions, workers):
                yield from (partial(self._whole, start, workers == 1) for start in starts)

        with closing(in_order(tasks(), workers, self.guide.tick, self.guide.leave)) as trained:
            for cohorts in trained:
                yield from cohorts
        if portions.rest():
            self.guide.out_of_time()

    def _portions(self) -> Portions:
        """For the time that is left: all of it where nobody says."""

        def left() -> float:
            seconds = self.guide.seconds_left()
            return math.inf if seconds is None else seconds

        return Portions(self.rates, self.engine, left)

    def _next_starts(self, portions: Portions, workers: int) -> list[Callable[[], Cohort]]:
        """Of the next portion, which is more than one cohort where the memory does not hold it."""
        portion = None if self.interrupted or self.guide.must_end() else portions.next()
        if portion is None:
            return []
        jobs, cohort = portion
        if cohort is not None:
            return [partial(_as_it_is, cohort)]
        return [partial(Cohort.start, part, self.backend) for part in self._parts(_neighbours(jobs), workers)]

    def _begun(self, jobs: Sequence[Job]) -> tuple[list[Cohort], list[Job]]:
        """Cohorts of those of which a snapshot is kept, and the others."""
        begun = [] if self.store is None else self.store.resumed(jobs, self.backend)
        for cohort in begun:
            before = sum(int(job.owner[0].epochs[job.owner[1]]) for job in cohort.jobs)  # by the results that are known
            self.guide.worked(max(0, cohort.epoch * len(cohort) - before))
        places = {id(job) for cohort in begun for job in cohort.jobs}
        return begun, [job for job in jobs if id(job) not in places]

    def _groups(self, jobs: Sequence[Job]) -> list[list[Job]]:
        """By their keys."""
        groups: dict[Hashable, list[Job]] = {}
        for job in jobs:
            groups.setdefault(population_key(job), []).append(job)
        return list(groups.values())

    def _workers(self) -> int:
        """How many populations are trained at a time: kernels on a CPU leave cores idle while Python prepares them."""
        kernels = all(ENGINE_KINDS[engine].compiled for engine in self.engine_of.values())
        alone = getattr(self.backend, "threads", None) == 1
        return SIDE_BY_SIDE if kernels and self.backend.on_host and not alone else 1

    def _whole(self, start: Callable[[], Cohort], ticks: bool) -> list[Cohort]:
        return [] if self.interrupted or self.guide.must_end() else list(self._finish(start(), ticks))

    def _finish(self, cohort: Cohort, ticks: bool) -> Iterator[Cohort]:
        """Up to the least number of epochs, without those who are done then, up to the next, and so on."""
        waiting = [cohort]
        while waiting and not self.interrupted and not self.guide.must_end():
            cohort = waiting.pop()
            epochs = np.array([job.epochs for job in cohort.jobs])
            level = int(epochs.min())
            trained = self._train(cohort, level, ticks)
            if trained is None:
                waiting += self._halves(cohort)
                continue
            if self.interrupted or trained.epoch < level:
                if self.store is not None:
                    self.store.flush([trained])
                return
            done = epochs == level
            self.guide.trained([job for job in trained.jobs if job.epochs == level])
            yield trained if done.all() else trained.take(np.flatnonzero(done))
            if not done.all():
                waiting.append(trained.take(np.flatnonzero(~done)))

    def advance(self, share: float, known: Container[Job] = ()) -> Iterator[Cohort]:
        """Train those who are left up to this share of their epochs, rounded up; each cohort as it gets there. Those
        whose results at this share are known are left as they are: they may have gone further already, or not as far.
        """
        if not self.cohorts:
            self._start()
        portions, before, self.cohorts = self._portions(), self.cohorts, []
        for cohort in before:
            chosen = np.array([job in known for job in cohort.jobs])
            if chosen.any():
                self.cohorts.append(cohort.take(np.flatnonzero(chosen)))
                cohort = cohort.take(np.flatnonzero(~chosen))
            if len(cohort):
                portions.add(cohort.jobs, cohort, share)
        while not self.interrupted and not self.guide.must_end() and (portion := portions.next()) is not None:
            waiting = [cohort for cohort in portion[1:] if cohort is not None]
            while waiting:
                cohort = waiting.pop()
                if self.interrupted or self.guide.must_end():
                    self.cohorts.append(cohort)
                    continue
                level = max(1, math.ceil(cohort.jobs[0].epochs * share))
                trained = self._train(cohort, level, ticks=True)
                if trained is None:
                    waiting += self._halves(cohort)
                    continue
                self.cohorts.append(trained)
                if not self.interrupted and trained.epoch >= level:
                    self.guide.trained(trained.jobs)
                    yield trained
        rest = [cohort for _, cohort in portions.rest() if cohort is not None]
        self.cohorts += rest
        if rest:
            self.guide.out_of_time()

    def _start(self) -> None:
        """Everyone in cohorts, with those as many epochs to come that are of one key."""
        self.cohorts, fresh = self._begun(self.jobs)
        by_epochs: dict[Hashable, list[Job]] = {}
        for job in fresh:
            by_epochs.setdefault((population_key(job), job.epochs), []).append(job)
        alike = [part for group in by_epochs.values() for part in self._fitting(_neighbours(group))]
        self.cohorts += [Cohort.start(part, self.backend) for part in alike]

    def keep(self, stays: Callable[[Job], bool]) -> None:
        """Go on with some of the networks. Those of one key and as many epochs are packed together."""
        alike: dict[Hashable, list[Cohort]] = {}
        for cohort in self.cohorts:
            chosen = np.flatnonzero([stays(job) for job in cohort.jobs])
            if len(chosen):
                key = (population_key(cohort.jobs[0]), cohort.jobs[0].epochs, cohort.epoch)
                alike.setdefault(key, []).append(cohort.take(chosen))
        self.cohorts = []
        for cohorts in alike.values():
            packed, first = Cohort.join(cohorts), 0
            for part in self._fitting(packed.jobs):
                self.cohorts.append(packed.take(np.arange(first, first + len(part))))
                first += len(part)

    def _train(self, cohort: Cohort, until: int, ticks: bool) -> Cohort | None:
        """The trained cohort, not so far where it was cut short; None where the memory does not hold it."""
        if cohort.epoch > until:  # a snapshot was kept, and the result before it was not: from the start again
            cohort = Cohort.start(cohort.jobs, self.backend)
        engine = self.engine(cohort.jobs[0])
        try:
            sink = CohortSink(cohort, until, self.guide, self.store, lambda: self.cohorts, ticks)
            started = time.perf_counter()
            trained = cohort.train(until, engine, sink)
        except CompilersInterrupted:  # while its kernel was compiled
            self.interrupted = True
            return cohort
        except BackendError as error:
            if self.engines.wanted != "auto" or not ENGINE_KINDS[engine].compiled or cohort.epoch > 0:
                raise
            self._give_up(population_key(cohort.jobs[0]), error)
            return self._train(cohort, until, ticks)
        except MemoryError as error:  # CuPy's OutOfMemoryError is one, too
            if len(cohort) == 1:
                raise BackendError(
                    f"A single network {cohort.jobs[0].architecture} with its rows does not fit the memory: {error}. "
                    "Use smaller layers, smaller batches or fewer rows."
                ) from error
            return None
        sink.work_up_to(trained.epoch)
        share = (trained.epoch - cohort.epoch) / float(np.mean([job.epochs for job in cohort.jobs]))
        seconds = float((trained.seconds - cohort.seconds).sum())
        self.rates.measured(cohort.jobs, engine, share, seconds, time.perf_counter() - started - seconds)
        self.interrupted |= trained.history is not None and trained.history.interrupted
        return trained

    def _give_up(self, key: Hashable, error: BackendError) -> None:
        """The networks of this key are trained without a kernel: that of the engine chosen for them cannot be had."""
        self.backend.compiling_failed(error)
        self.engines.chosen[key] = self.engine_of[key] = FALLBACK

    def _halves(self, cohort: Cohort) -> list[Cohort]:
        """The second half and the first, for a stack that is emptied from its end."""
        middle = len(cohort) // 2
        return [cohort.take(np.arange(middle, len(cohort))), cohort.take(np.arange(middle))]

    def _parts(self, group: Sequence[Job], workers: int) -> Iterator[list[Job]]:
        mixed = len({job.epochs for job in group}) > 1
        size = self._together(group) if mixed else len(group)
        for first in range(0, len(group), size):
            yield from self._fitting(group[first : first + size], workers)

    def _fitting(self, group: Sequence[Job], workers: int = 1) -> Iterator[list[Job]]:
        budget = None if self.budget is None else self.budget // workers
        yield from parts(group, budget, self._widest(group))

    def _together(self, group: Sequence[Job]) -> int:
        """How many networks begin together that differ in their numbers of epochs: enough to fill the machine, since
        each different number costs those that are left a call of `train`.
        """
        enough = self.backend.at_once.networks
        return enough if self.backend.on_host else max(enough, self._widest(group))

    def _widest(self, group: Sequence[Job]) -> int:
        return widest(self.backend, self.engine(group[0]))


def _as_it_is(cohort: Cohort) -> Cohort:
    return cohort


def _neighbours(group: Sequence[Job]) -> list[Job]:
    """Jobs on the same sheet next to each other, those with fewer epochs first: parts need few sheets and levels."""
    sheets = {id(sheet): place for place, sheet in enumerate(dict.fromkeys(job.sheet for job in group))}
    return sorted(group, key=lambda job: (job.epochs, sheets[id(job.sheet)]))
