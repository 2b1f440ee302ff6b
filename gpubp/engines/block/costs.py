"""What a training by the block engine costs."""

from __future__ import annotations

from dataclasses import dataclass

from gpubp.backends.base import Multiprocessors
from gpubp.engines.base import Costs
from gpubp.engines.block.engine import most_members
from gpubp.engines.block.layout import block_layout, multiply_adds, team_seconds
from gpubp.networks.plan import TrainingPlan


@dataclass(frozen=True)
class BlockCosts(Costs):
    """Seconds. Measured on two 2-core cloud machines with AVX-512 (docs/lab/performance.md) and on an NVIDIA H200
    (docs/lab/gpu-h200.md), where they scale with the clock.
    """

    compiling: float = 1.7
    cuda_compiling: float = 6.0
    trainings: int = 170  # a kernel serves every architecture; a machine needs one for each loss, optimizer and dtype
    update: float = 0.5e-6  # an update, whatever its size
    row: float = 30e-9  # gathering it, its loss
    number: float = 0.07e-9  # for each row and parameter: six operations
    parameter: float = 0.1e-9  # of an update
    parameter_slot: float = 0.15e-9  # and for its slots
    cores: int = 2  # how many networks, or members of teams, are at work side by side
    cuda_layer: float = 12e-6  # of a network's update: a layer's barriers and the like
    cuda_rate: float = 6e10  # multiply-adds of a block in a second
    cuda_neighbour: float = 0.3  # by how much of itself a block takes longer for each other on its multiprocessor
    cuda_clock: float = 1.98e9  # cycles a second, of the device that was measured


COSTS = BlockCosts()


def block_seconds(plan: TrainingPlan, costs: BlockCosts = COSTS) -> float:
    """The estimated time of the whole training, without compiling."""
    device = plan.backend.multiprocessors()
    if device is not None:
        return _cuda_seconds(plan, costs, device)
    parameters, slots = plan.architecture.n_parameters, len(plan.settings.optimizer_rule.slots)
    update = costs.update + parameters * (costs.parameter + slots * costs.parameter_slot)
    row = costs.row + parameters * costs.number
    doubles = plan.dtype.itemsize / 4
    total = float(plan.steps.sum()) * update + float(plan.rows.count.sum()) * row
    cores = min(costs.cores, plan.n_networks * most_members(plan))
    return doubles * total * plan.settings.epochs / cores


def _cuda_seconds(plan: TrainingPlan, costs: BlockCosts, device: Multiprocessors) -> float:
    """As many networks at a time as the device has room for, each by one block or a team of them."""
    layout = block_layout(plan.architecture, plan.batch_size, plan.n_networks, 0, device)
    rate = costs.cuda_rate * layout.team / (plan.dtype.itemsize / 4)
    update = plan.architecture.n_layers * costs.cuda_layer + multiply_adds(plan.architecture, plan.batch_size) / rate
    update += team_seconds(plan.architecture, layout.team)
    blocks = plan.n_networks * layout.team
    waves = -(-blocks // (device.count * layout.blocks))
    neighbours = min(layout.blocks, -(-blocks // device.count)) - 1
    update *= waves * (1 + costs.cuda_neighbour * neighbours)
    return float(plan.steps.max()) * plan.settings.epochs * update * costs.cuda_clock / device.clock
