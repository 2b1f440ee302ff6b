"""Which engine trains which population of a sweep: the least estimate, with compilation in full.

The engine is chosen once for a key and named in every call, so that a network gives the same bits in every cohort that
splitting, thinning and packing put it in.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from gpubp.backends import Backend
from gpubp.engines.block.kernel import refusal as block_refusal
from gpubp.engines.choose import COMPILE_SECONDS, ENGINES, estimates
from gpubp.engines.lane.engine import lane_kernel
from gpubp.errors.suggestions import check_choice
from gpubp.fitting.job import Job, population_settings
from gpubp.networks.plan import TrainingPlan, hyperparameters
from gpubp.networks.sampling import RowSets


def check_engine(wanted: str) -> None:
    check_choice("engine", wanted, ENGINES)


class Engines:
    """The choices made so far; whoever comes later with the same key gets the same engine."""

    def __init__(self, backend: Backend, wanted: str = "auto") -> None:
        check_engine(wanted)
        self.backend, self.wanted = backend, wanted
        self.chosen: dict[Hashable, str] = {}
        self.compiled: set[Hashable] = set()  # block kernels that are paid for

    def choose(self, groups: Mapping[Hashable, Sequence[Job]], times: float = 1.0) -> dict[Hashable, str]:
        """An engine for each group. times: how much of this work there will be in all."""
        new = {key: jobs for key, jobs in groups.items() if key not in self.chosen}
        if self.wanted != "auto":
            self.chosen |= dict.fromkeys(new, self.wanted)
        else:
            self._weigh({key: self._seconds(jobs, times) for key, jobs in new.items()}, new)
            kernels = any(self.chosen[key] != "array" for key in new)
            if kernels and self.backend.compiler_missing() is not None:
                self.chosen |= dict.fromkeys(new, "array")
        return {key: self.chosen[key] for key in groups}

    def _weigh(self, seconds: Mapping[Hashable, dict[str, float]], groups: Mapping[Hashable, Sequence[Job]]) -> None:
        """A block kernel serves every architecture, so all groups pay for it together; a lane kernel serves one."""
        saved: dict[Hashable, float] = {}
        for key, estimate in seconds.items():
            kernel = _block_kernel(groups[key][0])
            gain = estimate["array"] - estimate.get("block", np.inf)
            saved[kernel] = saved.get(kernel, 0.0) + max(0.0, gain)
        self.compiled |= {kernel for kernel, gain in saved.items() if gain > COMPILE_SECONDS["block"]}
        for key, estimate in seconds.items():
            costs = {"array": estimate["array"]}
            if "block" in estimate and _block_kernel(groups[key][0]) in self.compiled:
                costs["block"] = estimate["block"]
            if "lane" in estimate:
                costs["lane"] = estimate["lane"] + COMPILE_SECONDS["lane"]
            self.chosen[key] = min(costs, key=lambda engine: costs[engine])

    def seconds(self, jobs: Sequence[Job], engine: str) -> float:
        """The estimate of jobs of one key by the engine, without compiling."""
        found = self._seconds(jobs, 1.0)
        return found.get(engine, found["array"])

    def _seconds(self, jobs: Sequence[Job], times: float) -> dict[str, float]:
        """Of all the group's epochs, by each engine that could train it."""
        plan = sketch(jobs, self.backend)
        slots = len(plan.settings.optimizer_rule.slots)
        lane = lane_kernel(plan).refusal(self.backend.lanes_in_registers) is None
        block = block_refusal(plan.architecture, plan.batch_size, slots, plan.dropout is not None) is None
        return {engine: seconds * times for engine, seconds in estimates(plan, lane, block).items()}


def sketch(jobs: Sequence[Job], backend: Backend) -> TrainingPlan:
    """The work as the estimates see it: counts and settings, without tables."""
    first, n = jobs[0], len(jobs)
    mean_epochs = max(1, round(sum(job.epochs for job in jobs) / n))
    settings = population_settings(jobs, mean_epochs)
    nothing = np.empty((0, 0))
    count = np.array([len(job.rows) for job in jobs], dtype=np.int64)
    held = None if first.held is None else RowSets(np.zeros((n, 1), dtype=np.int64), np.ones(n, dtype=np.int64))
    return TrainingPlan(
        backend=backend,
        architecture=first.architecture,
        settings=settings,
        dtype=first.dtype,
        X=nothing,
        T=nothing,
        T_held=nothing,
        weights=None if first.sheet.weights is None else np.ones(1),
        seeds=np.zeros(n, dtype=np.uint64),
        rows=RowSets(np.zeros((n, 1), dtype=np.int64), -np.sort(-count)),
        held=held,
        total_weight=count.astype(np.float64),
        spread=None,
        hyper=hyperparameters(settings, n),
        dropout=settings.dropout_shares(n, len(first.architecture.hidden)),
        first_epoch=0,
        updates=np.zeros(n, dtype=np.int64),
        slots={},
    )


def _block_kernel(job: Job) -> Hashable:
    return job.settings.loss, job.settings.optimizer, job.dtype
