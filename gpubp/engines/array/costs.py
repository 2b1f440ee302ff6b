"""What a training by the array engine costs."""

from __future__ import annotations

from dataclasses import dataclass

from gpubp.engines.base import Costs
from gpubp.networks.plan import TrainingPlan


@dataclass(frozen=True)
class ArrayCosts(Costs):
    """Seconds. Measured on two 2-core cloud machines with AVX-512 (docs/lab/performance.md) and on an NVIDIA H200
    (docs/lab/gpu-h200.md); of a CPU's, only the ratios to the other engines' matter.
    """

    update: float = 40e-6  # an update's NumPy calls
    update_slot: float = 7e-6  # those of each slot of the optimizer
    network: float = 0.1e-6  # of an update, for each network
    parameter: float = 2e-9  # of an update, for each network's parameter
    parameter_slot: float = 1e-9  # and for its slots
    row: float = 0.1e-6  # for each network's row
    shuffled_row: float = 0.4e-6  # its place in the shuffle
    number: float = 0.1e-9  # for each network's row and parameter: matrix products
    cuda_update: float = 1e-3  # the launches of an update's kernels, which the host cannot make faster
    cuda_network: float = 1.3e-6  # of an update, for each network
    cuda_number: float = 0.9e-12  # for each network's row and parameter


COSTS = ArrayCosts()


def array_seconds(plan: TrainingPlan, costs: ArrayCosts = COSTS) -> float:
    """The estimated time of the whole training, all epochs."""
    parameters = plan.architecture.n_parameters
    if plan.backend.multiprocessors() is not None:  # cuBLAS and elementwise kernels, mostly waiting for launches
        update = costs.cuda_update + plan.n_networks * (
            costs.cuda_network + parameters * plan.batch_size * costs.cuda_number
        )
        return float(plan.steps.max()) * plan.settings.epochs * update
    steps = float(plan.steps.max()) * plan.settings.epochs
    rows = float(plan.rows.count.sum()) * plan.settings.epochs
    slots = len(plan.settings.optimizer_rule.slots)
    network = costs.network + parameters * (costs.parameter + slots * costs.parameter_slot)
    row = costs.row + plan.settings.shuffle * costs.shuffled_row + parameters * costs.number
    return steps * (costs.update + slots * costs.update_slot + plan.n_networks * network) + rows * row
