"""The dense layer with parametric activations: each neuron learns how much of its activation it takes.

Y = Z + a (f(Z) − Z) with Z = X W + b and a slope a of each neuron's own, 1 to begin with, where Y is f(Z) exactly; at 0
it would be Z (Holzmüller, Grinsztajn and Steinwart 2024, "Better by default": RealMLP's parametric activations).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gpubp.operations.activations import ACTIVATIONS, HIDDEN, Activation, Nodes
from gpubp.operations.dense import Dense, DenseValues, dense_forward
from gpubp.operations.layers import BIASES, WEIGHTS, Group, Parameter
from gpubp.operations.options import Option

if TYPE_CHECKING:
    import numpy as np

    from gpubp.backends import Array, Backend
    from gpubp.operations.initializers import Draw

PREFIX = "parametric_"
PARAMETRIC = tuple(PREFIX + name for name in HIDDEN if name != "identity")
"""The names of such activations of a hidden layer; of the identity nothing could be learned."""

SLOPE_RATE = Option(
    "slope_rate", 0.1, "what the learning rate is multiplied by", above=0.0, searched=(0.03, 1.0), log=True
)
SLOPE_DECAY = Option("slope_decay", 0.1, "what L2 and weight decay are multiplied by", least=0.0)
SLOPES = Group("slopes", rate=SLOPE_RATE, decay=SLOPE_DECAY)


def parametric_forward(backend: Backend, Z: Array, F: Array, a: Array, out: Array) -> None:
    """out (P, B, O) = a F + (1 − a) Z, which is F exactly where a (P, O) is 1. out may be F."""
    backend.xp.multiply(F, a[:, None, :], out=out)
    out += Z * (1.0 - a)[:, None, :]


def parametric_backward(
    backend: Backend, dY: Array, f: Activation, Z: Array, F: Array, a: Array, room: Array, da: Array
) -> None:
    """da (P, O) = the sum of dY ⊙ (F − Z) over the batch, and dY becomes dZ = a dY ⊙ f'(Z) + (1 − a) dY.

    F = f(Z) is changed, and room (P, B, O) is.
    """
    f.backward(backend, dY, Z, F, room)
    F -= Z
    F *= dY
    F.sum(axis=1, out=da)
    room *= a[:, None, :]
    dY *= (1.0 - a)[:, None, :]
    dY += room


class ParametricValues(DenseValues):
    """F (P, B, O): what f gives; its derivative and that of the slopes need it beside Z. H is what goes on."""

    def __init__(self, backend: Backend, shape: tuple[int, int, int], dtype: Any, gradients: bool) -> None:
        super().__init__(backend, shape, dtype, True, gradients)
        self.F = backend.xp.empty(shape, dtype=dtype) if gradients else self.H


@dataclass(frozen=True)
class ParametricDense(Dense):
    """Every output is a · f(z) + (1 − a) · z with z = Σ weight · input + bias. Its options are those of dense layers,
    and its own.
    """

    name = "parametric"
    options = (SLOPE_RATE, SLOPE_DECAY)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """weights W (I, O), row by row, biases b (O,), and slopes a (O,)."""
        return (
            Parameter("weights", (self.n_inputs, self.n_outputs), WEIGHTS),
            Parameter("biases", (self.n_outputs,), BIASES),
            Parameter("slopes", (self.n_outputs,), SLOPES),
        )

    @cached_property
    def f(self) -> Activation:
        return ACTIVATIONS[self.activation.removeprefix(PREFIX)]

    def initial(self, seeds: np.ndarray, place: int, draw: str | Draw) -> np.ndarray:
        """As without slopes, which are ones."""
        import numpy as np

        return np.concatenate([super().initial(seeds, place, draw), np.ones((len(seeds), self.n_outputs))], axis=1)

    def values(self, backend: Backend, n_networks: int, n_rows: int, dtype: Any, gradients: bool) -> ParametricValues:
        return ParametricValues(backend, (n_networks, n_rows, self.n_outputs), dtype, gradients)

    def forward(self, backend: Backend, X: Array, its: Mapping[str, Array], values: Any) -> Array:
        dense_forward(backend, X, its["weights"], its["biases"], out=values.Z)
        self.f.forward(backend, values.Z, values.F)
        parametric_forward(backend, values.Z, values.F, its["slopes"], values.H)
        if values.keep is not None:
            backend.xp.multiply(values.H, values.keep, out=values.Y)
        return values.Y

    def backward(
        self,
        backend: Backend,
        dY: Array,
        X: Array,
        its: Mapping[str, Array],
        values: Any,
        dX: Array | None,
        d_its: Mapping[str, Array],
    ) -> None:
        if values.keep is not None:
            dY *= values.keep
        parametric_backward(backend, dY, self.f, values.Z, values.F, its["slopes"], values.H, d_its["slopes"])
        self.backward_from_sums(backend, dY, X, its, dX, d_its)

    def nodes(self, op: Nodes, X: str, its: Mapping[str, np.ndarray]) -> str:
        Z, a = self.sum_nodes(op, X, its), its["slopes"]
        a = a if a.ndim == 1 else a[:, None, :]
        return op("Add", op("Mul", self.f.nodes(op, Z), a), op("Mul", Z, 1 - a))
