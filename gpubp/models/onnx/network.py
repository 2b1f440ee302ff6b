"""Networks in ONNX's basic operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpubp.models.onnx.graph import Graph, Tensor
from gpubp.operations.architecture import Architecture


def add_network(graph: Graph, X: Tensor, architecture: Architecture, params: np.ndarray) -> Tensor:
    """The outputs (rows, O) of the network with flat parameters (K,) for X (rows, I) of the same dtype."""

    def dense(H: Tensor, i: int) -> Tensor:
        flat = params[None, :]
        W, b = graph.constant(architecture.weights(flat, i)[0]), graph.constant(architecture.biases(flat, i)[0])
        return graph.add("Gemm", H, W, b)

    return _add_layers(graph, X, architecture, params.dtype, dense)


def add_mean_of_networks(graph: Graph, X: Tensor, architecture: Architecture, params: np.ndarray) -> Tensor:
    """The mean (rows, O) of the outputs of M networks with flat parameters (M, K), which are computed side by side."""

    def dense(H: Tensor, i: int) -> Tensor:
        W, b = architecture.weights(params, i), architecture.biases(params, i)
        return graph.add("Add", graph.add("MatMul", H, graph.constant(W)), graph.constant(b[:, None, :]))

    Y = _add_layers(graph, X, architecture, params.dtype, dense)
    return graph.add("ReduceMean", Y, axes=[0], keepdims=0)


def _add_layers(
    graph: Graph, X: Tensor, architecture: Architecture, dtype: Any, dense: Callable[[Tensor, int], Tensor]
) -> Tensor:
    H = X
    for i in range(architecture.n_layers):
        H = architecture.activation(i).nodes(_Numbers(graph, dtype), dense(H, i))
    return H


class _Numbers:
    """Arithmetic on tensors of one dtype, where a number stands for a constant of it."""

    def __init__(self, graph: Graph, dtype: Any) -> None:
        self.graph, self.dtype = graph, dtype

    def __call__(self, operator: str, *operands: Tensor | float) -> Tensor:
        tensors = [each if isinstance(each, str) else self.graph.constant(each, self.dtype) for each in operands]
        return self.graph.add(operator, *tensors)

    def erf(self, Z: Tensor) -> Tensor:
        """onnxruntime has Erf in float32 alone, so a float64 network gets its erf to 1e-7."""
        return self.graph.cast(self("Erf", self.graph.cast(Z, np.float32)), self.dtype)
