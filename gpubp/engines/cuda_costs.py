"""What a training takes on a CUDA device by each engine: an estimate from the device's properties.

The constants are fitted to times of an NVIDIA H200 (docs/lab/gpu-h200.md); they scale with the clock, and with the
number of multiprocessors where the device is full. A pure function of the work and the device.
"""

from __future__ import annotations

from gpubp.backends.base import Multiprocessors
from gpubp.engines.block.layout import block_layout, multiply_adds, team_seconds
from gpubp.networks.plan import TrainingPlan

MEASURED_CLOCK = 1.98e9  # cycles a second, of the device that the constants are from
COMPILE_SECONDS = {"lane": 1.0, "block": 6.0, "array": 0.0}
# Of an update: the launches of its kernels, which the host cannot make faster; each network; its row and parameter.
ARRAY_UPDATE, ARRAY_NETWORK, ARRAY_NUMBER = 1e-3, 1.3e-6, 0.9e-12
LANE_OPERATION = 1.6e-9  # an instruction of a lone warp, which waits for each
LANES_SIDE_BY_SIDE = 40  # of a multiprocessor, as if each ran as fast as a lone one
BLOCK_LAYER, BLOCK_RATE = 12e-6, 6e10  # of a network's update: a layer's barriers and the like; multiply-adds a second
BLOCK_NEIGHBOUR = 0.3  # by how much of itself a block takes longer for each other one on its multiprocessor


def array_seconds(plan: TrainingPlan) -> float:
    """By arrays: cuBLAS and elementwise kernels, most of the time waiting for launches."""
    update = ARRAY_UPDATE + plan.n_networks * (
        ARRAY_NETWORK + plan.architecture.n_parameters * plan.batch_size * ARRAY_NUMBER
    )
    return float(plan.steps.max()) * plan.settings.epochs * update


def lane_seconds(plan: TrainingPlan, operations: float, device: Multiprocessors) -> float:
    """operations: instructions of one network's training."""
    crowd = max(1.0, plan.n_networks / (LANES_SIDE_BY_SIDE * device.count))
    return operations * LANE_OPERATION * crowd * MEASURED_CLOCK / device.clock


def block_seconds(plan: TrainingPlan, device: Multiprocessors) -> float:
    """By blocks: as many networks at a time as the device has room for, each by one block or a team of them."""
    layout = block_layout(plan.architecture, plan.batch_size, plan.n_networks, 0, device)
    rate = BLOCK_RATE * layout.team / (plan.dtype.itemsize / 4)
    update = plan.architecture.n_layers * BLOCK_LAYER + multiply_adds(plan.architecture, plan.batch_size) / rate
    update += team_seconds(plan.architecture, layout.team)
    blocks = plan.n_networks * layout.team
    waves = -(-blocks // (device.count * layout.blocks))
    neighbours = min(layout.blocks, -(-blocks // device.count)) - 1
    update *= waves * (1 + BLOCK_NEIGHBOUR * neighbours)
    return float(plan.steps.max()) * plan.settings.epochs * update * MEASURED_CLOCK / device.clock
