"""Estimates how long a training by the lane engine takes."""

from __future__ import annotations

from dataclasses import dataclass

from gpubp.engines.base import Costs
from gpubp.networks.plan import TrainingPlan


@dataclass(frozen=True)
class LaneCosts(Costs):
    """Seconds. Measured on two 2-core cloud machines with AVX-512 (docs/lab/performance.md) and on an NVIDIA H200
    (docs/lab/gpu-h200.md), where they scale with the clock.
    """

    compiling: float = 0.8
    cuda_compiling: float = 1.0
    trainings: int = 15  # a kernel serves trainings of one architecture with the same options
    operation: float = 0.3e-9  # one vector instruction
    shuffle: float = 200  # of them for a row's place in the shuffle
    vector_bytes: int = 64
    cores: int = 2  # how many vectors of networks are trained side by side
    short_bytes: int = 16  # of the vector that so few networks get
    short: float = 0.4  # how long its instructions take compared
    cuda_operation: float = 1.6e-9  # an instruction of a lone warp, which waits for each
    cuda_side_by_side: float = 40  # lanes of a multiprocessor, as if each ran as fast as a lone one
    cuda_clock: float = 1.98e9  # cycles a second, of the device that was measured


COSTS = LaneCosts()


def lane_seconds(plan: TrainingPlan, costs: LaneCosts = COSTS) -> float:
    """The estimated time of the whole training, without compiling."""
    operations = _operations(plan, costs)
    device = plan.backend.multiprocessors()
    if device is not None:
        crowd = max(1.0, plan.n_networks / (costs.cuda_side_by_side * device.count))
        return operations * costs.cuda_operation * crowd * costs.cuda_clock / device.clock
    networks = plan.n_networks * plan.dtype.itemsize
    if networks <= costs.short_bytes:
        return operations * costs.operation * costs.short
    return operations * costs.operation * max(1.0, -(-networks // costs.vector_bytes) / costs.cores)


def _operations(plan: TrainingPlan, costs: LaneCosts) -> float:
    """Instructions of the training of the network that has most rows."""
    parameters, neurons = plan.architecture.n_parameters, plan.architecture.n_values
    slots = len(plan.settings.optimizer_rule.slots)
    per_row = 3 * parameters + 8 * neurons + 60 + plan.settings.shuffle * costs.shuffle
    per_update = parameters * (3 + 7 * slots) + 120
    per_epoch = float(plan.rows.count.max()) * per_row + float(plan.steps.max()) * per_update
    return per_epoch * plan.settings.epochs
