"""Populations cut into portions that fit the time a sweep has left."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

from gpubp.fitting.cohort import Cohort
from gpubp.fitting.job import Job
from gpubp.search.run.rates import Rates

SHARE = 0.25  # of the time left that a portion is to take at the most
FREE = 1.05  # trials come along that make a portion take no longer than so many times as long: they fill its vectors
FIRST = 3  # trials at the most, where nothing is known of the machine's speed
LATE = 1.2  # times the time left: what is expected to take longer is not begun
PLENTY = 10.0  # times what all work together is estimated to take

Portion = tuple[list[Job], Cohort | None]
"""Jobs of one key, and the cohort that they are, where they have begun."""


class Portions:
    """Portions of whole trials, so that there are scores of trials when the time is over, and not some folds of each.
    Every kind of network has its turn, those with the fewest trials so far first, and of these the quickest.

    left: seconds that there are still; infinite: the portions are what was added. A network's result does not depend on
    who is in its portion.
    """

    def __init__(self, rates: Rates, engine: Callable[[Job], str], left: Callable[[], float]) -> None:
        self.rates, self.engine, self.left = rates, engine, left
        self._stocks: list[_Stock] = []
        self._begun = False

    def add(self, jobs: Sequence[Job], cohort: Cohort | None = None, until: float = 1.0) -> None:
        """Jobs of one key. until: the share of their epochs that they are to have in the end."""
        done = 0.0 if cohort is None else cohort.epoch / jobs[0].epochs
        self._stocks.append(_Stock(jobs, cohort, self.rates, self.engine(jobs[0]), max(0.0, until - done)))

    def certain(self) -> bool:
        """Whether a speed was measured, or there is plenty of time: else the first portion is better trained alone."""
        if any(self.rates.knows(stock.engine) for stock in self._stocks):
            return True
        return PLENTY * self.seconds() <= self.left()

    def seconds(self) -> float:
        """Expected for everything that waits."""
        return sum(stock.seconds(len(stock.trials)) for stock in self._stocks)

    def next(self) -> Portion | None:
        """None where nothing fits the time left; the very first portion always does."""
        left, waiting = self.left(), [stock for stock in self._stocks if stock.trials]
        if left == math.inf:
            return waiting[0].take(len(waiting[0].trials)) if waiting else None
        for stock in sorted(waiting, key=lambda stock: (stock.taken, stock.of_one)):
            if not self._begun or stock.of_one <= LATE * left:
                longest, most = FREE * stock.of_one, FIRST
                if self.certain():
                    longest, most = max(longest, SHARE * left), len(stock.trials)
                self._begun = True
                return stock.take(min(most, stock.within(longest)))
        return None

    def rest(self) -> list[Portion]:
        """What was not taken."""
        return [stock.take(len(stock.trials)) for stock in self._stocks if stock.trials]


class _Stock:
    """Jobs of one key that wait, trial by trial. share: of their epochs, that is to come. taken: trials."""

    def __init__(self, jobs: Sequence[Job], cohort: Cohort | None, rates: Rates, engine: str, share: float) -> None:
        trials: dict[int, list[Job]] = {}
        for job in jobs:
            trials.setdefault(_trial_of(job), []).append(job)
        self.trials, self.cohort, self.rates = list(trials.values()), cohort, rates
        self.engine, self.share, self.taken = engine, share, 0
        self._estimates: dict[int, float] = {}  # of the first so many trials that wait

    @property
    def of_one(self) -> float:
        return self.seconds(1)

    def seconds(self, n: int) -> float:
        """Expected of the first n trials together."""
        jobs = [job for trial in self.trials[:n] for job in trial]
        if not jobs:
            return 0.0
        if n not in self._estimates:
            self._estimates[n] = self.share * self.rates.engines.seconds(jobs, self.engine)
        return self.rates.seconds(jobs[0], self.engine, self._estimates[n])

    def within(self, longest: float) -> int:
        """How many trials take so many seconds, at least one."""
        return max(1, bisect_right(range(1, len(self.trials) + 1), longest, key=self.seconds))

    def take(self, n: int) -> Portion:
        taken, self.trials, self._estimates = self.trials[:n], self.trials[n:], {}
        self.taken += n
        jobs = [job for trial in taken for job in trial]
        if self.cohort is None:
            return jobs, None
        places = {id(job): place for place, job in enumerate(self.cohort.jobs)}
        chosen = sorted(places[id(job)] for job in jobs)
        return jobs, self.cohort if len(chosen) == len(places) else self.cohort.take(chosen)


def _trial_of(job: Job) -> int:
    """The owner of a job where owners have several networks; otherwise the job is by itself."""
    return id(job.owner[0]) if isinstance(job.owner, tuple) else id(job)
