"""The array engine's entry in the registry."""

from __future__ import annotations

from typing import Any

from gpubp.backends import Array, Backend
from gpubp.engines.array.costs import COSTS, ArrayCosts, array_seconds
from gpubp.engines.array.engine import ArrayEngine
from gpubp.engines.base import Engine, EngineKind
from gpubp.networks.plan import TrainingPlan
from gpubp.operations import network
from gpubp.operations.architecture import Architecture
from gpubp.operations.layer_kinds import LAYERS


class ArrayKind(EngineKind[ArrayCosts]):
    name = ArrayEngine.name
    help = "operation by operation"
    costs = COSTS
    compiled = False
    layers = tuple(LAYERS)

    def refuses(self, plan: TrainingPlan) -> None:
        return None

    def seconds(self, plan: TrainingPlan, costs: ArrayCosts) -> float:
        return array_seconds(plan, costs)

    def make(self, plan: TrainingPlan, params: Array, buffers: Any = None) -> Engine:
        return ArrayEngine(plan, params, buffers=buffers)

    def predict(self, backend: Backend, architecture: Architecture, params: Array, X: Array) -> Array:
        return network.predict(backend, architecture, params, X)
