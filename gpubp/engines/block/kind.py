"""The block engine's entry in the registry."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.engines.base import Engine, EngineKind
from gpubp.engines.block import kernel
from gpubp.engines.block.costs import COSTS, BlockCosts, block_seconds
from gpubp.engines.block.engine import BlockEngine
from gpubp.engines.kernel_engine import softmax_refusal
from gpubp.networks.plan import TrainingPlan
from gpubp.operations.architecture import Architecture

# Ctrl-C waits for the end of an epoch: on a CPU, networks of more parameters are for this engine only as long as all of
# them together are expected to take no longer for an epoch than so many seconds.
LARGE, LONGEST_EPOCH = 500_000, 5.0


class BlockKind(EngineKind[BlockCosts]):
    name = BlockEngine.name
    help = "small and middle ones"
    costs = COSTS
    every_architecture = True
    layers = ("dense", "scale", "pbld", "pl", "plr", "embed", "parametric")

    def refuses(self, plan: TrainingPlan) -> str | None:
        slots = len(plan.settings.state_arrays)
        refusal = self.refuses_layers(plan.architecture) or softmax_refusal(plan)
        return refusal or kernel.refusal(plan.architecture, plan.batch_size, slots, plan.dropout is not None)

    def seconds(self, plan: TrainingPlan, costs: BlockCosts) -> float:
        return block_seconds(plan, costs)

    def serves_auto(self, plan: TrainingPlan, seconds: float) -> bool:
        on_device = plan.backend.multiprocessors() is not None
        small = plan.architecture.n_parameters <= LARGE
        return on_device or small or seconds <= LONGEST_EPOCH * plan.settings.epochs

    def make(self, plan: TrainingPlan, params: Array, buffers: Any = None) -> Engine:
        return BlockEngine(plan, params)

    def refuses_prediction(self, backend: Backend, architecture: Architecture, dtype: np.dtype[Any]) -> str | None:
        return self.refuses_layers(architecture) or kernel.prediction_refusal(architecture)

    def predict(self, backend: Backend, architecture: Architecture, params: Array, X: Array) -> Array:
        return kernel.predict(backend, architecture, params, X)

    def prediction_pays(self, backend: Backend, architecture: Architecture, n_networks: int, n_rows: int) -> bool:
        served = self.refuses_layers(architecture) is None
        return served and kernel.prediction_pays(backend, architecture, n_networks, n_rows)
