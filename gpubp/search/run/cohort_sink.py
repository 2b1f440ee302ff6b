"""What happens between two calls of an engine while a cohort trains."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from gpubp.fitting.cohort import Cohort
from gpubp.networks.plan import TrainingPlan
from gpubp.networks.population import Population
from gpubp.search.run.guide import Guide
from gpubp.search.run.result_store import ResultStore
from gpubp.training.snapshot import Snapshot


class CohortSink:
    """A `SnapshotSink`: tells the guide of the work done, asks it whether to go on, and keeps snapshots in a store.

    until: the epoch that the cohort is trained to. others: cohorts that wait for their next epochs. ticks: whether the
    guide is waiting for this thread.
    """

    def __init__(
        self,
        cohort: Cohort,
        until: int,
        guide: Guide,
        store: ResultStore | None,
        others: Callable[[], Sequence[Cohort]],
        ticks: bool,
    ) -> None:
        self.cohort, self.guide, self.store, self.others, self.ticks = cohort, guide, store, others, ticks
        self.epoch, self.until = cohort.epoch, until
        self.began = 0.0

    def begin(self, population: Population, plan: TrainingPlan) -> None:
        self.began = time.perf_counter()

    def let_go(self) -> None:
        return None

    def due(self, epoch: int, interrupted: bool) -> bool:
        self.work_up_to(epoch)
        if self.ticks:
            self.guide.tick()
        return self.store is not None and (interrupted or self.store.due())

    def keep(self, snapshot: Snapshot) -> None:
        assert self.store is not None
        taken = snapshot.seconds - (0.0 if self.cohort.snapshot is None else self.cohort.snapshot.seconds)
        seconds = self.cohort.seconds + taken / len(self.cohort)
        self.store.flush([*self.others(), replace(self.cohort, snapshot=snapshot, seconds=seconds)])

    def ends(self) -> bool:
        done = self.epoch - self.cohort.epoch
        taken = time.perf_counter() - self.began
        return self.guide.must_cut(taken / done * (self.until - self.epoch) if done else math.inf)

    def work_up_to(self, epoch: int) -> None:
        self.guide.worked(float(epoch - self.epoch) * len(self.cohort))
        self.epoch = epoch
