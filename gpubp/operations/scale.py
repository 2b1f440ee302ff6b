"""The scale layer: Y = X ⊙ s, a factor of its own for each input, which is learned.

Before the first dense layer it learns which inputs matter, faster than single weights could: its learning rate is a
multiple of theirs (Holzmüller, Grinsztajn and Steinwart 2024, "Better by default": RealMLP's scaling layer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gpubp.operations.layers import Group, Layer, Parameter, TakenOver, Values
from gpubp.operations.options import Option

if TYPE_CHECKING:
    import numpy as np

    from gpubp.backends import Array, Backend
    from gpubp.operations.activations import Nodes
    from gpubp.operations.initializers import Draw

SCALE_RATE = Option(
    "scale_rate", 6.0, "what the learning rate is multiplied by", above=0.0, searched=(1.0, 10.0), log=True
)
SCALE_DECAY = Option("scale_decay", 0.0, "what L2 and weight decay are multiplied by", least=0.0)
FACTORS = Group("factors", rate=SCALE_RATE, decay=SCALE_DECAY)


def scale_forward(backend: Backend, X: Array, s: Array, out: Array) -> None:
    """out (P, B, I) = X ⊙ s, with X (B, I) shared by all networks or (P, B, I), s (P, I)."""
    backend.xp.multiply(X, s[:, None, :], out=out)


def scale_backward(backend: Backend, dY: Array, X: Array, s: Array, dX: Array | None, ds: Array) -> None:
    """ds (P, I) = the sum of dY ⊙ X over the batch, and dX (P, B, I) = dY ⊙ s, unless it is None. dY is changed."""
    if dX is not None:
        backend.xp.multiply(dY, s[:, None, :], out=dX)
    dY *= X
    dY.sum(axis=1, out=ds)


@dataclass(frozen=True)
class Scale(Layer):
    """Every output is its input times a factor."""

    name = "scale"
    help = "a learned factor for each input"
    options = (SCALE_RATE, SCALE_DECAY)
    in_front = True
    only_factors = True
    n_inputs: int

    @property
    def n_outputs(self) -> int:  # type: ignore[override]
        return self.n_inputs

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """factors s (I,)."""
        return (Parameter("factors", (self.n_inputs,), FACTORS),)

    def initial(self, seeds: np.ndarray, place: int, draw: str | Draw) -> np.ndarray:
        """Ones, whatever the initializer."""
        import numpy as np

        return np.ones((len(seeds), self.n_inputs))

    def values(self, backend: Backend, n_networks: int, n_rows: int, dtype: Any, gradients: bool) -> Values:
        values = Values()
        values.Y = backend.xp.empty((n_networks, n_rows, self.n_inputs), dtype=dtype)
        if gradients:
            values.dY = backend.xp.empty_like(values.Y)
        return values

    def forward(self, backend: Backend, X: Array, its: Mapping[str, Array], values: Values) -> Array:
        scale_forward(backend, X, its["factors"], out=values.Y)
        return values.Y

    def backward(
        self,
        backend: Backend,
        dY: Array,
        X: Array,
        its: Mapping[str, Array],
        values: Values,
        dX: Array | None,
        d_its: Mapping[str, Array],
    ) -> None:
        scale_backward(backend, dY, X, its["factors"], dX, d_its["factors"])

    def nodes(self, op: Nodes, X: str, its: Mapping[str, np.ndarray]) -> str:
        s = its["factors"]
        return op("Mul", X, s if s.ndim == 1 else s[:, None, :])

    def take_over(self, its: Mapping[str, np.ndarray], offset: np.ndarray, scale: np.ndarray) -> TakenOver:
        """x s with x = (v − offset) / scale is v (s / scale) − offset (s / scale)."""
        import numpy as np

        s = its["factors"]
        s /= scale
        return offset * s, np.ones(self.n_inputs)

    def reorder(self, its: Mapping[str, np.ndarray], order: np.ndarray) -> np.ndarray:
        s = its["factors"]
        s[...] = s[:, order]
        return order
