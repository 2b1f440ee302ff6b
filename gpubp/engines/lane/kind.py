"""The lane engine's entry in the registry."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.engines.base import Engine, EngineKind
from gpubp.engines.kernel_engine import softmax_refusal
from gpubp.engines.lane import kernel
from gpubp.engines.lane.costs import COSTS, LaneCosts, lane_seconds
from gpubp.engines.lane.engine import LaneEngine, lane_kernel
from gpubp.networks.plan import TrainingPlan
from gpubp.operations.architecture import Architecture

LANES = 512  # networks in training at a time on each of a CUDA device's multiprocessors (LaneKernel.blocks)


class LaneKind(EngineKind[LaneCosts]):
    name = LaneEngine.name
    help = "tiny networks"
    costs = COSTS
    absence = "no lanes"

    def refuses(self, plan: TrainingPlan) -> str | None:
        refusal = self.refuses_layers(plan.architecture) or self.refuses_groups(plan) or softmax_refusal(plan)
        return refusal or lane_kernel(plan).refusal(plan.backend.lanes_in_registers)

    def seconds(self, plan: TrainingPlan, costs: LaneCosts) -> float:
        return lane_seconds(plan, costs)

    def make(self, plan: TrainingPlan, params: Array, buffers: Any = None) -> Engine:
        return LaneEngine(plan, params)

    def networks_to_fill(self, backend: Backend) -> int:
        device = backend.multiprocessors()
        return 1 if device is None else LANES * device.count

    def refuses_prediction(self, backend: Backend, architecture: Architecture, dtype: np.dtype[Any]) -> str | None:
        refusal = self.refuses_layers(architecture)
        return refusal or kernel.prediction_refusal(architecture, dtype, backend.lanes_in_registers)

    def predict(self, backend: Backend, architecture: Architecture, params: Array, X: Array) -> Array:
        return kernel.predict(backend, architecture, params, X)
