"""Layers and activations in ONNX's basic operators. operations/activations.py is the definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpubp.models.onnx.graph import Graph, Tensor
from gpubp.operations.activations import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE, SQRT_2_OVER_PI, SQRT_HALF
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
        H = ACTIVATIONS[architecture.activations[i]](_Numbers(graph, dtype), dense(H, i))
    return H


class _Numbers:
    """Arithmetic on tensors of one dtype, where a number stands for a constant of it."""

    def __init__(self, graph: Graph, dtype: Any) -> None:
        self.graph, self.dtype = graph, dtype

    def __call__(self, operator: str, *operands: Tensor | float) -> Tensor:
        tensors = [each if isinstance(each, str) else self.graph.constant(each, self.dtype) for each in operands]
        return self.graph.add(operator, *tensors)


def _identity(op: _Numbers, Z: Tensor) -> Tensor:
    return Z


def _logistic(op: _Numbers, Z: Tensor) -> Tensor:
    return op("Sigmoid", Z)


def _tanh(op: _Numbers, Z: Tensor) -> Tensor:
    return op("Tanh", Z)


def _relu(op: _Numbers, Z: Tensor) -> Tensor:
    return op("Relu", Z)


def _leaky_relu(op: _Numbers, Z: Tensor) -> Tensor:
    return op("Max", Z, op("Mul", Z, LEAKY_SLOPE))


def _elu(op: _Numbers, Z: Tensor) -> Tensor:
    negative = op("Sub", op("Exp", op("Min", Z, 0.0)), 1.0)
    return op("Add", op("Max", Z, 0.0), negative)


def _selu(op: _Numbers, Z: Tensor) -> Tensor:
    negative = op("Mul", op("Sub", op("Exp", op("Min", Z, 0.0)), 1.0), SELU_ALPHA)
    return op("Mul", op("Add", op("Max", Z, 0.0), negative), SELU_SCALE)


def _silu(op: _Numbers, Z: Tensor) -> Tensor:
    return op("Mul", Z, op("Sigmoid", Z))


def _gelu(op: _Numbers, Z: Tensor) -> Tensor:
    """onnxruntime has Erf in float32 alone, so a float64 network gets its erf to 1e-7."""
    scaled = op("Mul", Z, SQRT_HALF)
    erf = op.graph.cast(op("Erf", op.graph.cast(scaled, np.float32)), op.dtype)
    return op("Mul", Z, op("Mul", op("Add", erf, 1.0), 0.5))


def _gelu_tanh(op: _Numbers, Z: Tensor) -> Tensor:
    cubic = op("Mul", Z, op("Add", op("Mul", op("Mul", Z, Z), 0.044715), 1.0))
    t = op("Tanh", op("Mul", cubic, SQRT_2_OVER_PI))
    return op("Mul", Z, op("Mul", op("Add", t, 1.0), 0.5))


def _softplus(op: _Numbers, Z: Tensor) -> Tensor:
    """max(z, 0) + log(1 + exp(−|z|)), which cannot overflow."""
    tail = op("Log", op("Add", op("Exp", op("Neg", op("Abs", Z))), 1.0))
    return op("Add", op("Max", Z, 0.0), tail)


def _mish(op: _Numbers, Z: Tensor) -> Tensor:
    return op("Mul", Z, op("Tanh", _softplus(op, Z)))


def _softmax(op: _Numbers, Z: Tensor) -> Tensor:
    return op("Softmax", Z)


def _exponential(op: _Numbers, Z: Tensor) -> Tensor:
    return op("Exp", Z)


ACTIVATIONS: dict[str, Callable[[_Numbers, Tensor], Tensor]] = {
    "identity": _identity,
    "logistic": _logistic,
    "tanh": _tanh,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "silu": _silu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "mish": _mish,
    "softplus": _softplus,
    "softmax": _softmax,
    "exponential": _exponential,
}
