"""The dense layer: Y = f(X W + b), for every network of a population at once."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from gpubp.operations.activations import ACTIVATIONS, Activation, Nodes
from gpubp.operations.initializers import INITIALIZERS
from gpubp.operations.layers import BIASES, WEIGHTS, Factors, Layer, Parameter, Values
from gpubp.operations.options import Option

if TYPE_CHECKING:
    import numpy as np

    from gpubp.backends import Array, Backend
    from gpubp.operations.initializers import Draw


def dense_forward(backend: Backend, X: Array, W: Array, b: Array, out: Array) -> None:
    """out (P, B, O) = X W + b, with X (B, I) shared by all networks or (P, B, I), W (P, I, O), b (P, O)."""
    backend.xp.matmul(X, W, out=out)
    out += b[:, None, :]


def dense_backward(backend: Backend, dY: Array, X: Array, W: Array, dX: Array | None, dW: Array, db: Array) -> None:
    """Gradients of a loss through `dense_forward`, from dY (P, B, O).

    dX (P, B, I) = dY Wᵀ (left out where it is None: nothing lies before the first layer),
    dW (P, I, O) = Xᵀ dY and db (P, O) = the sum of dY over the batch: sums, for the mean is in dY already.
    """
    xp = backend.xp
    xp.matmul(X.swapaxes(-1, -2), dY, out=dW)
    if dY.shape[1] == 1:  # one row is its own sum, and a copy takes half the time: online training is many small calls
        xp.copyto(db, dY[:, 0])
    else:
        dY.sum(axis=1, out=db)
    if dX is not None:
        xp.matmul(dY, W.swapaxes(-1, -2), out=dX)


class DenseValues(Values):
    """H (P, B, O): what the activation gives. Z, the pre-activations, is H itself unless the derivative reads both.

    With dropout, keep (P, B, O) is what H is multiplied by on its way to the next layer, and Y the product; without,
    keep is None and Y is H itself.
    """

    def __init__(
        self, backend: Backend, shape: tuple[int, int, int], dtype: Any, keeps_input: bool, gradients: bool
    ) -> None:
        empty = backend.xp.empty
        self.H = self.Y = empty(shape, dtype=dtype)
        self.Z = empty(shape, dtype=dtype) if keeps_input else self.H
        if gradients:
            self.dY = empty(shape, dtype=dtype)
        self.keep: Array | None = None

    def drop(self, backend: Backend, keep: Array) -> None:
        """From now on, multiply the outputs by these."""
        if self.Y is self.H:
            self.Y = backend.xp.empty_like(self.H)
        self.keep = keep


BIAS_RATE = Option(
    "bias_rate",
    1.0,
    "what the rate of biases is multiplied by",
    above=0.0,
    searched=(0.05, 1.0),
    log=True,
    neutral=True,
)
FIRST_RATE = Option(
    "first_rate", 1.0, "what the rate of the first layer is multiplied by", above=0.0, searched=(0.3, 1.5), log=True,
    neutral=True,
)  # fmt: skip
FAN_IN_POWER = Option(
    "fan_in_power", 0.0, "the rate of weights is divided by fan_in to this power (0.5: NTK parametrisation)",
    least=0.0, most=1.0, searched=(0.0, 0.5), neutral=True,
)  # fmt: skip


def has_own_rates(names: Container[str]) -> bool:
    """Whether dense layers, or their biases, have rates of their own, by the names of a training's numbers."""
    return any(option.name in names for option in Dense.options)


@dataclass(frozen=True)
class Dense(Layer):
    """Every output is f(Σ weight · input + bias).

    With fan_in_power 0.5 it learns as y = x W / √fan_in + b does, whose weights W are √fan_in times as large (the NTK
    parametrisation: Jacot, Gabriel and Hongler 2018): Adam's steps are independent of a gradient's size. Decoupled
    weight decay stays at the rate that it has without.
    """

    name = "dense"
    options: ClassVar[tuple[Option, ...]] = (BIAS_RATE, FIRST_RATE, FAN_IN_POWER)
    n_inputs: int
    n_outputs: int
    activation: str
    first: bool = False  # of the dense layers

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """weights W (I, O), row by row, and then biases b (O,)."""
        return (
            Parameter("weights", (self.n_inputs, self.n_outputs), WEIGHTS),
            Parameter("biases", (self.n_outputs,), BIASES),
        )

    @cached_property
    def f(self) -> Activation:
        return ACTIVATIONS[self.activation]

    def factors(self, parameter: Parameter, options: Mapping[str, Array]) -> Factors:
        rate, l2, decay = super().factors(parameter, options)
        if self.first and "first_rate" in options:
            rate = rate * options["first_rate"]
        if parameter.group == BIASES:
            return Factors(rate * options.get("bias_rate", 1.0), l2, decay)
        if parameter.group == WEIGHTS and "fan_in_power" in options:
            shrunk = float(self.n_inputs) ** -options["fan_in_power"]
            rate, decay = rate * shrunk, decay / shrunk
        return Factors(rate, l2, decay)

    def initial(self, seeds: np.ndarray, place: int, draw: str | Draw) -> np.ndarray:
        """ "auto" takes what suits the activation: He for the relu family, LeCun for selu, Glorot for the others."""
        rule = self.f.initializer if draw == "auto" else draw
        rule = INITIALIZERS[rule].draw if isinstance(rule, str) else rule
        drawn = rule(seeds, place, self.n_inputs, self.n_outputs)
        return drawn.reshape(len(seeds), -1)

    def values(self, backend: Backend, n_networks: int, n_rows: int, dtype: Any, gradients: bool) -> DenseValues:
        shape = (n_networks, n_rows, self.n_outputs)
        return DenseValues(backend, shape, dtype, gradients and self.f.needs_input, gradients)

    def forward(self, backend: Backend, X: Array, its: Mapping[str, Array], values: DenseValues) -> Array:
        dense_forward(backend, X, its["weights"], its["biases"], out=values.Z)
        self.f.forward(backend, values.Z, values.H)
        if values.keep is not None:
            backend.xp.multiply(values.H, values.keep, out=values.Y)
        return values.Y

    def backward(
        self,
        backend: Backend,
        dY: Array,
        X: Array,
        its: Mapping[str, Array],
        values: DenseValues,
        dX: Array | None,
        d_its: Mapping[str, Array],
    ) -> None:
        if values.keep is not None:
            dY *= values.keep
        self.f.backward(backend, dY, values.Z, values.H, dY)
        self.backward_from_sums(backend, dY, X, its, dX, d_its)

    def backward_from_sums(
        self,
        backend: Backend,
        dZ: Array,
        X: Array,
        its: Mapping[str, Array],
        dX: Array | None,
        d_its: Mapping[str, Array],
    ) -> None:
        """The same from dZ (P, B, O), the gradient at X W + b: losses with a link give that."""
        dense_backward(backend, dZ, X, its["weights"], dX, d_its["weights"], d_its["biases"])

    def nodes(self, op: Nodes, X: str, its: Mapping[str, np.ndarray]) -> str:
        return self.f.nodes(op, self.sum_nodes(op, X, its))

    @staticmethod
    def sum_nodes(op: Nodes, X: str, its: Mapping[str, np.ndarray]) -> str:
        """X W + b."""
        W, b = its["weights"], its["biases"]
        if W.ndim == 2:
            return op("Gemm", X, W, b)
        return op("Add", op("MatMul", X, W), b[:, None, :])

    def take_over(self, its: Mapping[str, np.ndarray], offset: np.ndarray, scale: np.ndarray) -> None:
        """x W + b with x = (v − offset) / scale is v (W / scale) + (b − (offset / scale) W)."""
        import numpy as np

        W, b = its["weights"], its["biases"]
        W /= scale[:, None]
        b -= np.einsum("i,pio->po" if offset.ndim == 1 else "pi,pio->po", offset, W)

    def reorder(self, its: Mapping[str, np.ndarray], order: np.ndarray) -> None:
        W = its["weights"]
        W[...] = W[:, order]
