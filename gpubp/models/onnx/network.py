"""Networks in ONNX's basic operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpubp.models.onnx.graph import Graph, Tensor
from gpubp.operations.architecture import Architecture
from gpubp.operations.network import LayerViews


def add_network(graph: Graph, X: Tensor, architecture: Architecture, params: np.ndarray) -> Tensor:
    """The outputs (rows, O) of the network with flat parameters (K,) for X (rows, I) of the same dtype."""
    views = architecture.views(params[None, :])
    return _add_layers(graph, X, architecture, [{name: part[0] for name, part in its.items()} for its in views])


def add_mean_of_networks(graph: Graph, X: Tensor, architecture: Architecture, params: np.ndarray) -> Tensor:
    """The mean (rows, O) of the outputs of M networks with flat parameters (M, K), which are computed side by side."""
    return graph.add("ReduceMean", add_networks(graph, X, architecture, params), axes=[0], keepdims=0)


def add_networks(graph: Graph, X: Tensor, architecture: Architecture, params: np.ndarray) -> Tensor:
    """The outputs (M, rows, O) of M networks with flat parameters (M, K)."""
    return _add_layers(graph, X, architecture, architecture.views(params))


def _add_layers(graph: Graph, X: Tensor, architecture: Architecture, views: LayerViews) -> Tensor:
    op = _Numbers(graph, views[-1]["weights"].dtype)
    for layer, its in zip(architecture.layers, views, strict=True):
        X = layer.nodes(op, X, its)
    return X


class _Numbers:
    """Arithmetic on tensors of one dtype, where a number or an array stands for a constant of it."""

    def __init__(self, graph: Graph, dtype: Any) -> None:
        self.graph, self.dtype = graph, dtype

    def __call__(self, operator: str, *operands: Tensor | float | np.ndarray, **attributes: Any) -> Tensor:
        tensors = [each if isinstance(each, str) else self.graph.constant(each, self.dtype) for each in operands]
        return self.graph.add(operator, *tensors, **attributes)

    def whole(self, numbers: Sequence[int]) -> Tensor:
        return self.graph.constant(list(numbers), np.int64)

    def erf(self, Z: Tensor) -> Tensor:
        """onnxruntime has Erf in float32 alone, so a float64 network gets its erf to 1e-7."""
        return self.graph.cast(self("Erf", self.graph.cast(Z, np.float32)), self.dtype)

    def cos(self, U: Tensor) -> Tensor:
        """onnxruntime has no cosine of float64."""
        return self("Cos", U) if self.dtype == np.float32 else self("Sin", self("Add", U, np.pi / 2))
