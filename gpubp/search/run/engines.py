"""Which engine trains which population of a sweep: the least estimate, with compilation in full.

The engine is chosen once for a key and named in every call, so that a network gives the same bits in every cohort that
splitting, thinning and packing put it in.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from gpubp.backends import Backend
from gpubp.engines.choose import estimates
from gpubp.engines.registry import ENGINE_KINDS, ENGINES, FALLBACK, USUAL_COSTS
from gpubp.errors.suggestions import check_choice
from gpubp.fitting.job import Job, population_settings
from gpubp.networks.plan import TrainingPlan, hyperparameters
from gpubp.networks.sampling import RowSets
from gpubp.operations.smoothing import Smoothing


def check_engine(wanted: str) -> None:
    check_choice("engine", wanted, ENGINES)


class Engines:
    """The choices made so far; whoever comes later with the same key gets the same engine."""

    def __init__(self, backend: Backend, wanted: str = "auto") -> None:
        check_engine(wanted)
        self.backend, self.wanted = backend, wanted
        self.chosen: dict[Hashable, str] = {}
        self.compiled: set[Hashable] = set()  # kernels for every architecture that are paid for
        self.all_paid = False  # whether they all are: by those who train the same kinds of networks again and again

    def choose(self, groups: Mapping[Hashable, Sequence[Job]], times: float = 1.0) -> dict[Hashable, str]:
        """An engine for each group. times: how much of this work there will be in all."""
        new = {key: jobs for key, jobs in groups.items() if key not in self.chosen}
        if self.wanted != "auto":
            self.chosen |= dict.fromkeys(new, self.wanted)
        else:
            self._weigh({key: self._seconds(jobs, times) for key, jobs in new.items()}, new)
            kernels = any(ENGINE_KINDS[self.chosen[key]].compiled for key in new)
            if kernels and self.backend.compiler_missing() is not None:
                self.chosen |= dict.fromkeys(new, FALLBACK)
        return {key: self.chosen[key] for key in groups}

    def _weigh(self, seconds: Mapping[Hashable, dict[str, float]], groups: Mapping[Hashable, Sequence[Job]]) -> None:
        """Groups pay together for a kernel that serves every architecture, by what it saves them; for another, each
        pays by itself.
        """
        saved: dict[tuple[str, Hashable], float] = {}
        for key, estimate in seconds.items():
            for name in filter(_serves_all, estimate):
                kernel = name, _options(groups[key][0])
                saved[kernel] = saved.get(kernel, 0.0) + max(0.0, estimate[FALLBACK] - estimate[name])
        self.compiled |= {kernel for kernel, gain in saved.items() if gain > self.compile_seconds(kernel[0])}
        for key, estimate in seconds.items():
            costs = {}
            for name in reversed(estimate):  # of those that are as good, the one that needs no kernel comes first
                if not _serves_all(name):
                    costs[name] = estimate[name] + self.compile_seconds(name)
                elif self.all_paid or (name, _options(groups[key][0])) in self.compiled:
                    costs[name] = estimate[name]
            self.chosen[key] = min(costs, key=lambda engine: costs[engine])

    def compile_seconds(self, engine: str) -> float:
        """How long its kernel takes to compile, on this machine's kind of device."""
        return USUAL_COSTS[engine].compile_seconds(self.backend)

    def seconds(self, jobs: Sequence[Job], engine: str) -> float:
        """The estimate of jobs of one key by the engine, without compiling."""
        found = self._seconds(jobs, 1.0)
        return found.get(engine, found[FALLBACK])

    def _seconds(self, jobs: Sequence[Job], times: float) -> dict[str, float]:
        """Of all the group's epochs, by each engine that could train it."""
        return {engine: seconds * times for engine, seconds in estimates(sketch(jobs, self.backend)).items()}


def sketch(jobs: Sequence[Job], backend: Backend) -> TrainingPlan:
    """The work as the estimates see it: counts and settings, without tables."""
    first, n = jobs[0], len(jobs)
    mean_epochs = max(1, round(sum(job.epochs for job in jobs) / n))
    settings = population_settings(jobs, mean_epochs)
    nothing = np.empty((0, 0))
    count = np.array([job.n_rows for job in jobs], dtype=np.int64)
    one_row = RowSets(np.zeros((n, 1), dtype=np.int64), np.ones(n, dtype=np.int64))
    return TrainingPlan(
        backend=backend,
        architecture=first.architecture,
        settings=settings,
        dtype=first.dtype,
        X=nothing,
        T=nothing,
        T_validation=nothing,
        weights=None if first.sheet.weights is None else np.ones(1),
        seeds=np.zeros(n, dtype=np.uint64),
        rows=RowSets(np.zeros((n, 1), dtype=np.int64), -np.sort(-count)),
        validation=None if first.validation is None else one_row,
        total_weight=count.astype(np.float64),
        spread=None,
        hyper=hyperparameters(settings, first.architecture, n),
        dropout=settings.dropout_shares(n, len(first.architecture.hidden)),
        smoothing=None if (amounts := settings.smoothing_amounts(n)) is None else Smoothing(amounts, amounts),
        first_epoch=0,
        updates=np.zeros(n, dtype=np.int64),
        slots={},
    )


def _serves_all(engine: str) -> bool:
    return ENGINE_KINDS[engine].every_architecture


def _options(job: Job) -> Hashable:
    """What a kernel that serves every architecture is compiled for."""
    return job.settings.loss, job.settings.optimizer, job.dtype
