"""Activations, elementwise, each with its derivative.

A new one is three functions and one entry in the table, and its two branches in engines/dialect/activations.h; then run
scripts/generate_operations.py.

forward(backend, Z, out): out may be Z itself.
backward(backend, dH, Z, H, out): out = dH · f'(Z); out may be dH. Most derivatives follow from the output H alone,
so their Z need not be kept (it is None); the others set `needs_input`.

nodes(op, Z): the same as the forward pass in ONNX's basic operators, op("Tanh", Z) being one; numbers are constants.

All are finite, with finite derivatives, for |z| up to 1e4 in float32 and float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    from gpubp.backends import Array, Backend

Forward = Callable[["Backend", "Array", "Array"], None]
Backward = Callable[["Backend", "Array", "Array | None", "Array", "Array"], None]


class Nodes(Protocol):
    """Adds nodes to an ONNX graph. A tensor is its name; a number or an array stands for a constant."""

    def __call__(self, operator: str, *operands: str | float | np.ndarray, **attributes: Any) -> str: ...

    def whole(self, numbers: Sequence[int]) -> str:
        """A constant of whole numbers: places, or a shape."""
        ...

    def erf(self, Z: str) -> str: ...

    def cos(self, U: str) -> str: ...


@dataclass(frozen=True)
class Activation:
    """needs_input: `backward` reads Z. initializer: what suits the weights before it. only_output: not elementwise, or
    of unbounded growth: for the output layer alone. elementwise: a value depends on its own neuron alone. divides: the
    kernel divides, which takes registers on a GPU.
    """

    name: str
    forward: Forward
    backward: Backward
    nodes: Callable[[Nodes, str], str]
    needs_input: bool = False
    initializer: str = "glorot_uniform"
    only_output: bool = False
    elementwise: bool = True
    divides: bool = False


def identity_forward(backend: Backend, Z: Array, out: Array) -> None:
    if out is not Z:
        backend.xp.copyto(out, Z)


def identity_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    if out is not dH:
        backend.xp.copyto(out, dH)


def identity_nodes(op: Nodes, Z: str) -> str:
    return Z


def logistic_forward(backend: Backend, Z: Array, out: Array) -> None:
    """1 / (1 + exp(−z))."""
    backend.logistic(Z, out)


def logistic_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """dH · h (1 − h)."""
    slope = 1.0 - H
    slope *= H
    backend.xp.multiply(dH, slope, out=out)


def logistic_nodes(op: Nodes, Z: str) -> str:
    return op("Sigmoid", Z)


def tanh_forward(backend: Backend, Z: Array, out: Array) -> None:
    backend.xp.tanh(Z, out=out)


def tanh_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """dH · (1 − h²)."""
    xp = backend.xp
    slope = xp.square(H)
    xp.subtract(1.0, slope, out=slope)
    xp.multiply(dH, slope, out=out)


def tanh_nodes(op: Nodes, Z: str) -> str:
    return op("Tanh", Z)


def relu_forward(backend: Backend, Z: Array, out: Array) -> None:
    backend.xp.maximum(Z, 0.0, out=out)


def relu_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """dH where h > 0, else 0 (at z = 0 too)."""
    backend.xp.multiply(dH, H > 0.0, out=out)


def relu_nodes(op: Nodes, Z: str) -> str:
    return op("Relu", Z)


LEAKY_SLOPE = 0.01


def leaky_relu_forward(backend: Backend, Z: Array, out: Array) -> None:
    """z for z > 0, else 0.01 z."""
    backend.xp.maximum(Z, LEAKY_SLOPE * Z, out=out)


def leaky_relu_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    xp = backend.xp
    slope = xp.full_like(H, LEAKY_SLOPE)
    xp.copyto(slope, 1.0, where=H > 0.0)
    xp.multiply(dH, slope, out=out)


def leaky_relu_nodes(op: Nodes, Z: str) -> str:
    return op("Max", Z, op("Mul", Z, LEAKY_SLOPE))


def elu_forward(backend: Backend, Z: Array, out: Array) -> None:
    """z for z > 0, else exp(z) − 1 (Clevert et al. 2016, with alpha = 1)."""
    xp = backend.xp
    positive = xp.maximum(Z, 0.0)
    xp.minimum(Z, 0.0, out=out)
    xp.expm1(out, out=out)
    out += positive


def elu_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """dH for h > 0, else dH · (h + 1)."""
    slope = backend.xp.minimum(H, 0.0)
    slope += 1.0
    backend.xp.multiply(dH, slope, out=out)


def elu_nodes(op: Nodes, Z: str) -> str:
    negative = op("Sub", op("Exp", op("Min", Z, 0.0)), 1.0)
    return op("Add", op("Max", Z, 0.0), negative)


SELU_SCALE = 1.0507009873554804934193349852946  # Klambauer et al. 2017, section 2
SELU_ALPHA = 1.6732632423543772848170429916717


def selu_forward(backend: Backend, Z: Array, out: Array) -> None:
    """scale · (z for z > 0, else alpha · (exp(z) − 1)) (Klambauer et al. 2017)."""
    xp = backend.xp
    positive = xp.maximum(Z, 0.0)
    xp.minimum(Z, 0.0, out=out)
    xp.expm1(out, out=out)
    out *= SELU_ALPHA
    out += positive
    out *= SELU_SCALE


def selu_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """dH · scale for h > 0, else dH · (h + scale · alpha)."""
    xp = backend.xp
    slope = H + SELU_SCALE * SELU_ALPHA
    xp.copyto(slope, SELU_SCALE, where=H > 0.0)
    xp.multiply(dH, slope, out=out)


def selu_nodes(op: Nodes, Z: str) -> str:
    negative = op("Mul", op("Sub", op("Exp", op("Min", Z, 0.0)), 1.0), SELU_ALPHA)
    return op("Mul", op("Add", op("Max", Z, 0.0), negative), SELU_SCALE)


def silu_forward(backend: Backend, Z: Array, out: Array) -> None:
    """z · logistic(z), also called swish (Elfwing et al. 2017)."""
    gate = backend.xp.empty_like(Z)
    logistic_forward(backend, Z, gate)
    backend.xp.multiply(Z, gate, out=out)


def silu_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """dH · (s + h (1 − s)) with s = logistic(z)."""
    gate = backend.xp.empty_like(H)
    logistic_forward(backend, Z, gate)
    slope = 1.0 - gate
    slope *= H
    slope += gate
    backend.xp.multiply(dH, slope, out=out)


def silu_nodes(op: Nodes, Z: str) -> str:
    return op("Mul", Z, op("Sigmoid", Z))


SQRT_HALF = math.sqrt(0.5)
SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)


def gelu_forward(backend: Backend, Z: Array, out: Array) -> None:
    """z Φ(z) with the normal distribution Φ(z) = ½ (1 + erf(z / √2)) (Hendrycks and Gimpel 2016), exact form."""
    backend.xp.multiply(Z, _normal_distribution(backend, Z), out=out)


def gelu_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """dH · (Φ(z) + z φ(z)) with the normal density φ."""
    xp = backend.xp
    density = xp.square(Z)
    density *= -0.5
    xp.exp(density, out=density)
    density *= 1.0 / math.sqrt(2.0 * math.pi)
    density *= Z
    density += _normal_distribution(backend, Z)
    xp.multiply(dH, density, out=out)


def gelu_nodes(op: Nodes, Z: str) -> str:
    return op("Mul", Z, op("Mul", op("Add", op.erf(op("Mul", Z, SQRT_HALF)), 1.0), 0.5))


def _normal_distribution(backend: Backend, Z: Array) -> Array:
    cumulative = Z * SQRT_HALF
    backend.erf(cumulative, out=cumulative)
    cumulative += 1.0
    cumulative *= 0.5
    return cumulative


def gelu_tanh_forward(backend: Backend, Z: Array, out: Array) -> None:
    """½ z (1 + tanh(√(2/π) (z + 0.044715 z³))) (Hendrycks and Gimpel 2016), the approximate form."""
    gate = _gelu_tanh(backend, Z)
    gate += 1.0
    gate *= 0.5
    backend.xp.multiply(Z, gate, out=out)


def gelu_tanh_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """dH · ½ (1 + t + z (1 − t²) √(2/π) (1 + 0.134145 z²)) with t the tanh of the forward pass."""
    xp = backend.xp
    t = _gelu_tanh(backend, Z)
    slope = xp.square(Z)
    slope *= 3.0 * 0.044715
    slope += 1.0
    slope *= SQRT_2_OVER_PI
    slope *= Z
    slope *= 1.0 - t * t
    slope += t
    slope += 1.0
    slope *= 0.5
    xp.multiply(dH, slope, out=out)


def gelu_tanh_nodes(op: Nodes, Z: str) -> str:
    cubic = op("Mul", Z, op("Add", op("Mul", op("Mul", Z, Z), 0.044715), 1.0))
    t = op("Tanh", op("Mul", cubic, SQRT_2_OVER_PI))
    return op("Mul", Z, op("Mul", op("Add", t, 1.0), 0.5))


def _gelu_tanh(backend: Backend, Z: Array | None) -> Array:
    xp = backend.xp
    t = xp.square(Z)
    t *= 0.044715
    t += 1.0
    t *= Z
    t *= SQRT_2_OVER_PI
    return xp.tanh(t, out=t)


def mish_forward(backend: Backend, Z: Array, out: Array) -> None:
    """z tanh(softplus(z)) (Misra 2019)."""
    xp = backend.xp
    gate = xp.logaddexp(Z, 0.0)
    xp.tanh(gate, out=gate)
    xp.multiply(Z, gate, out=out)


def mish_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """dH · (t + z (1 − t²) logistic(z)) with t = tanh(softplus(z))."""
    xp = backend.xp
    t = xp.logaddexp(Z, 0.0)
    xp.tanh(t, out=t)
    slope = xp.empty_like(H)
    logistic_forward(backend, Z, slope)
    slope *= Z
    slope *= 1.0 - t * t
    slope += t
    xp.multiply(dH, slope, out=out)


def mish_nodes(op: Nodes, Z: str) -> str:
    return op("Mul", Z, op("Tanh", softplus_nodes(op, Z)))


def softplus_forward(backend: Backend, Z: Array, out: Array) -> None:
    """log(1 + exp(z))."""
    backend.xp.logaddexp(Z, 0.0, out=out)


def softplus_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """dH · logistic(z) = dH · (1 − exp(−h))."""
    xp = backend.xp
    slope = xp.negative(H)
    xp.expm1(slope, out=slope)
    xp.negative(slope, out=slope)
    xp.multiply(dH, slope, out=out)


def softplus_nodes(op: Nodes, Z: str) -> str:
    """max(z, 0) + log(1 + exp(−|z|)), which cannot overflow."""
    tail = op("Log", op("Add", op("Exp", op("Neg", op("Abs", Z))), 1.0))
    return op("Add", op("Max", Z, 0.0), tail)


def softsign_forward(backend: Backend, Z: Array, out: Array) -> None:
    """z / (1 + |z|) (Bergstra et al. 2009)."""
    xp = backend.xp
    size = xp.abs(Z)
    size += 1.0
    xp.divide(Z, size, out=out)


def softsign_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """dH · (1 − |h|)²."""
    xp = backend.xp
    slope = xp.abs(H)
    xp.subtract(1.0, slope, out=slope)
    slope *= slope
    xp.multiply(dH, slope, out=out)


def softsign_nodes(op: Nodes, Z: str) -> str:
    return op("Div", Z, op("Add", op("Abs", Z), 1.0))


def softmax_forward(backend: Backend, Z: Array, out: Array) -> None:
    """exp(z) / Σ exp(z) over the last axis; the largest z is subtracted first, so nothing overflows."""
    xp = backend.xp
    xp.subtract(Z, Z.max(axis=-1, keepdims=True), out=out)
    xp.exp(out, out=out)
    out /= out.sum(axis=-1, keepdims=True)


def softmax_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    """h · (dH − Σ dH h) over the last axis."""
    xp = backend.xp
    weighted = dH * H
    xp.subtract(dH, weighted.sum(axis=-1, keepdims=True), out=out)
    out *= H


def softmax_nodes(op: Nodes, Z: str) -> str:
    return op("Softmax", Z)


def exponential_forward(backend: Backend, Z: Array, out: Array) -> None:
    backend.xp.exp(Z, out=out)


def exponential_backward(backend: Backend, dH: Array, Z: Array | None, H: Array, out: Array) -> None:
    backend.xp.multiply(dH, H, out=out)


def exponential_nodes(op: Nodes, Z: str) -> str:
    return op("Exp", Z)


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("identity", identity_forward, identity_backward, identity_nodes),
        Activation("logistic", logistic_forward, logistic_backward, logistic_nodes, divides=True),
        Activation("tanh", tanh_forward, tanh_backward, tanh_nodes, divides=True),
        Activation("relu", relu_forward, relu_backward, relu_nodes, initializer="he_uniform"),
        Activation("leaky_relu", leaky_relu_forward, leaky_relu_backward, leaky_relu_nodes, initializer="he_uniform"),
        Activation("elu", elu_forward, elu_backward, elu_nodes, initializer="he_uniform"),
        Activation("selu", selu_forward, selu_backward, selu_nodes, initializer="lecun_normal"),
        Activation(
            "silu", silu_forward, silu_backward, silu_nodes, needs_input=True, initializer="he_uniform", divides=True
        ),
        Activation("gelu", gelu_forward, gelu_backward, gelu_nodes, needs_input=True, initializer="he_uniform"),
        Activation(
            "gelu_tanh",
            gelu_tanh_forward,
            gelu_tanh_backward,
            gelu_tanh_nodes,
            needs_input=True,
            initializer="he_uniform",
            divides=True,
        ),
        Activation(
            "mish", mish_forward, mish_backward, mish_nodes, needs_input=True, initializer="he_uniform", divides=True
        ),
        Activation("softplus", softplus_forward, softplus_backward, softplus_nodes),
        Activation("softmax", softmax_forward, softmax_backward, softmax_nodes, only_output=True, elementwise=False),
        Activation("exponential", exponential_forward, exponential_backward, exponential_nodes, only_output=True),
        Activation("softsign", softsign_forward, softsign_backward, softsign_nodes, divides=True),
    )
}

HIDDEN = tuple(name for name, activation in ACTIVATIONS.items() if not activation.only_output)
"""Those that a hidden layer may have."""
