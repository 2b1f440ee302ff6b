"""Periodic embeddings of numbers: each input x becomes some learned sums of waves of x, and maybe x itself besides.

A dense layer bends a number only where its neurons' thresholds happen to lie; waves of many lengths tell apart values
that lie close together (Gorishniy, Rubachev and Babenko 2022, "On embeddings for numerical features in tabular deep
learning", section 3.2). Three forms:

    pbld  z = Σ_f cos(2π x w_f + p_f) V_f + c, and x   (Holzmüller, Grinsztajn and Steinwart 2024: RealMLP)
    pl    z = Σ_f cos(2π x w_f) V_f + sin(2π x w_f) V'_f + c
    plr   z = relu of pl's

Each input has frequencies w, phases p, weights V and biases c of its own. Inputs that are no numbers, but ones and
zeros of categories, pass as they are.

Angles are cut at ±100,000, as the kernels' sine and cosine are (engines/dialect/mathematics.h).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from gpubp.errors import SettingsError
from gpubp.operations.layers import Group, Inputs, Layer, Parameter, TakenOver, Values
from gpubp.operations.options import Option

if TYPE_CHECKING:
    import numpy as np

    from gpubp.backends import Array, Backend
    from gpubp.operations.activations import Nodes
    from gpubp.operations.initializers import Draw

LARGEST_ANGLE = 1e5
TURN = 2.0 * math.pi
MOST_SIZE = 1024

PERIODIC_RATE = Option(
    "periodic_rate", 0.1, "what the learning rate is multiplied by", above=0.0, searched=(0.05, 0.3), log=True
)
PERIODIC_DECAY = Option("periodic_decay", 0.1, "what L2 and weight decay are multiplied by", least=0.0)
SIGMA = Option(
    "sigma", 0.1, "the standard deviation of the first frequencies, in waves per unit", above=0.0, searched=(0.05, 5.0),
    log=True, of_first_values=True,
)  # fmt: skip
WAVES = Group("waves", rate=PERIODIC_RATE, decay=PERIODIC_DECAY)
WAVE_BIASES = Group("wave biases", rate=PERIODIC_RATE, decay=0.0)


class PeriodicValues(Values):
    """By input and row: angles U (P, M, B, F), waves (P, M, B, C), sums Z (P, M, B, D); in training dZ, d_waves too.

    numbers, passing: places of inputs, on the device.
    """

    def __init__(self, layer: Periodic, backend: Backend, n_networks: int, n_rows: int, dtype: Any, gradients: bool):
        def empty(*shape: int) -> Array:
            return backend.xp.empty((n_networks, *shape), dtype=dtype)

        import numpy as np

        self.numbers, self.passing = (
            backend.to_device(np.array(places, dtype=np.int64)) for places in (layer.numbers, layer.passing)
        )
        M, F = len(layer.numbers), layer.frequencies
        self.Y = empty(n_rows, layer.n_outputs)
        self.U, self.waves = empty(M, n_rows, F), empty(M, n_rows, layer.n_waves)
        self.Z = empty(M, n_rows, layer.learned)
        if gradients:
            self.dY, self.dZ, self.d_waves = (backend.xp.empty_like(each) for each in (self.Y, self.Z, self.waves))


@dataclass(frozen=True)
class Periodic(Layer):
    """Outputs: all first sums of the M numbers, all second ones …, D of each; then the inputs that pass.

    indicators: places of inputs that are no numbers. frequencies: F; outputs: of each number, x itself among them.
    """

    options = (PERIODIC_RATE, PERIODIC_DECAY, SIGMA)
    in_front = True
    takes_indicators = True
    takes_sizes = "frequencies and outputs of a number"
    shifted: ClassVar[bool]  # cosines with phases; else sines and cosines
    rectified: ClassVar[bool] = False
    passes_numbers: ClassVar[bool] = False
    n_inputs: int
    indicators: tuple[int, ...] = ()
    frequencies: int = 16
    outputs: int = 4

    @classmethod
    def of(cls, inputs: Inputs, sizes: Sequence[int] = ()) -> Periodic:
        return cls(inputs.n, inputs.indicators, *sizes)

    @classmethod
    def check_sizes(cls, sizes: Sequence[int]) -> None:
        least = 2 if cls.passes_numbers else 1
        if len(sizes) != 2 or not (1 <= sizes[0] <= MOST_SIZE and least <= sizes[1] <= MOST_SIZE):
            raise SettingsError(
                f"Layer in front {cls.name}: its sizes are {cls.takes_sizes}, such as {cls.name}:16x4, from 1 and "
                f"{least} to {MOST_SIZE:,}; found {'x'.join(map(str, sizes))}."
            )

    def passed(self, inputs: Inputs) -> Inputs:
        return inputs.among(self.passing, self.learned * len(self.numbers), self.n_outputs)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The places of the M inputs that are embedded."""
        return tuple(sorted({*range(self.n_inputs)} - {*self.indicators}))

    @cached_property
    def passing(self) -> tuple[int, ...]:
        """The places of the inputs that are outputs, too."""
        return tuple(range(self.n_inputs)) if self.passes_numbers else self.indicators

    @property
    def learned(self) -> int:
        """D: sums of each number."""
        return self.outputs - self.passes_numbers

    @property
    def n_waves(self) -> int:
        """C: of each number."""
        return self.frequencies if self.shifted else 2 * self.frequencies

    @cached_property
    def n_outputs(self) -> int:  # type: ignore[override]
        return self.learned * len(self.numbers) + len(self.passing)

    @property
    def columns(self) -> int:
        return max(1, len(self.numbers))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """frequencies w (F, M), weights V (C, D, M); phases p (F, M), if they are cosines alone; biases c (D, M)."""
        M = len(self.numbers)
        found = [
            Parameter("frequencies", (self.frequencies, M), WAVES),
            Parameter("weights", (self.n_waves, self.learned, M), WAVES),
            Parameter("phases", (self.frequencies, M), WAVE_BIASES),
            Parameter("biases", (self.learned, M), WAVE_BIASES),
        ]
        return tuple(each for each in found if self.shifted or each.name != "phases")

    def initial(self, seeds: np.ndarray, place: int, draw: str | Draw) -> np.ndarray:
        """Whatever the initializer: w ~ N(0, 1), which `start` multiplies by sigma, p uniform in ±π, V and c in
        ±1 / √C.
        """
        import numpy as np
        from scipy.special import ndtri

        from gpubp.operations.philox import Stream, uniform

        units = uniform(np, seeds, self.n_parameters, Stream.WAVES, extra=place)
        parts, at = [], 0
        for parameter in self.parameters:
            drawn = units[:, at : at + parameter.size]
            at += parameter.size
            if parameter.name == "frequencies":
                parts.append(ndtri(drawn))
            else:
                bound = math.pi if parameter.name == "phases" else 1.0 / math.sqrt(self.n_waves)
                parts.append((2.0 * drawn - 1.0) * bound)
        return np.concatenate(parts, axis=1)

    def start(self, its: Mapping[str, np.ndarray], options: Mapping[str, np.ndarray]) -> None:
        its["frequencies"][...] *= options["sigma"][:, None, None]

    def values(self, backend: Backend, n_networks: int, n_rows: int, dtype: Any, gradients: bool) -> PeriodicValues:
        return PeriodicValues(self, backend, n_networks, n_rows, dtype, gradients)

    def forward(self, backend: Backend, X: Array, its: Mapping[str, Array], values: PeriodicValues) -> Array:
        xp, U, Z, F = backend.xp, values.U, values.Z, self.frequencies
        xp.multiply(self._turns(X, values), _by_input(its["frequencies"]), out=U)
        if self.shifted:
            U += _by_input(its["phases"])
        xp.clip(U, -LARGEST_ANGLE, LARGEST_ANGLE, out=U)
        xp.cos(U, out=values.waves[..., :F])
        if not self.shifted:
            xp.sin(U, out=values.waves[..., F:])
        xp.matmul(values.waves, self._mixing(backend, its), out=Z)
        Z += _by_input(its["biases"])
        if self.rectified:
            xp.maximum(Z, 0.0, out=Z)
        learned = self.learned * len(self.numbers)
        self._sums(values.Y)[...] = Z.transpose(0, 2, 3, 1)
        values.Y[..., learned:] = X if self.passes_numbers else X[..., values.passing]
        return values.Y

    def backward(
        self,
        backend: Backend,
        dY: Array,
        X: Array,
        its: Mapping[str, Array],
        values: PeriodicValues,
        dX: Array | None,
        d_its: Mapping[str, Array],
    ) -> None:
        """With u = 2π x w + p: dV = Σ waves ⊙ dz, du = −sin(u) dz V for a cosine, dw = Σ 2π x du, dp = Σ du."""
        xp, dZ, d_waves, F = backend.xp, values.dZ, values.d_waves, self.frequencies
        xp.copyto(dZ, self._sums(dY).transpose(0, 3, 1, 2))
        if self.rectified:
            dZ *= values.Z > 0
        d_its["biases"][...] = dZ.sum(axis=2).swapaxes(1, 2)
        d_its["weights"][...] = xp.matmul(values.waves.swapaxes(2, 3), dZ).transpose(0, 2, 3, 1)
        xp.matmul(dZ, self._mixing(backend, its).swapaxes(2, 3), out=d_waves)
        if self.shifted:
            xp.sin(values.U, out=values.waves)
            dU = d_waves
            dU *= values.waves
            xp.negative(dU, out=dU)
            d_its["phases"][...] = dU.sum(axis=2).swapaxes(1, 2)
        else:
            dU = values.waves[..., :F] * d_waves[..., F:] - values.waves[..., F:] * d_waves[..., :F]
        d_its["frequencies"][...] = (self._turns(X, values) * dU).sum(axis=2).swapaxes(1, 2)
        if dX is not None:
            dX[...] = 0.0
            dX[..., values.passing] = dY[..., self.learned * len(self.numbers) :]
            through = (dU * _by_input(its["frequencies"])).sum(axis=3).swapaxes(1, 2)
            through *= TURN
            dX[..., values.numbers] += through

    def _turns(self, X: Array, values: PeriodicValues) -> Array:
        """2π x: (M, B, 1) for X (B, I), else (P, M, B, 1)."""
        numbers = X[..., values.numbers] if self.indicators else X
        return (numbers.swapaxes(-1, -2) * X.dtype.type(TURN))[..., None]

    def _sums(self, Y: Array) -> Array:
        """A view (P, B, D, M) of the learned outputs among Y (P, B, O)."""
        M = len(self.numbers)
        return Y[..., : self.learned * M].reshape(*Y.shape[:2], self.learned, M)

    def _mixing(self, backend: Backend, its: Mapping[str, Array]) -> Array:
        """V as (P, M, C, D), contiguous."""
        return backend.xp.ascontiguousarray(its["weights"].transpose(0, 3, 1, 2))

    def nodes(self, op: Nodes, X: str, its: Mapping[str, np.ndarray]) -> str:
        import numpy as np

        w, V, c = its["frequencies"], its["weights"], its["biases"]
        several = w.ndim == 3
        numbers = op("Gather", X, op.whole(self.numbers), axis=-1)
        turns = op("Unsqueeze", op("Mul", numbers, TURN), op.whole([-2]))  # (rows, 1, M)
        U = op("Mul", turns, w[:, None] if several else w)
        if self.shifted:
            U = op("Add", U, its["phases"][:, None] if several else its["phases"])
        U = op("Clip", U, -LARGEST_ANGLE, LARGEST_ANGLE)
        waves = op.cos(U) if self.shifted else op("Concat", op.cos(U), op("Sin", U), axis=-2)
        Z = op("Einsum", waves, V, equation="prcm,pcdm->prdm" if several else "rcm,cdm->rdm")
        Z = op("Add", Z, c[:, None] if several else c)
        if self.rectified:
            Z = op("Relu", Z)
        learned = self.learned * len(self.numbers)
        Z = op("Reshape", Z, op.whole([0, -1, learned] if several else [-1, learned]))
        passing = op("Gather", X, op.whole(self.passing), axis=-1)
        if several:
            passing = op("Add", passing, np.zeros((len(w), 1, 1)))  # for each network
        return op("Concat", Z, passing, axis=-1) if self.passing else Z

    def take_over(self, its: Mapping[str, np.ndarray], offset: np.ndarray, scale: np.ndarray) -> TakenOver:
        """w becomes w / scale, and every angle is too large by 2π offset w / scale: of cosines with phases that goes
        into the phases; else waves are turned by it, cos(u − a) = cos(u) cos(a) + sin(u) sin(a).
        """
        import numpy as np

        w, V, F, M = its["frequencies"], its["weights"], self.frequencies, len(self.numbers)
        its["frequencies"][...] = w / scale[..., None, list(self.numbers)]
        turned = TURN * offset[..., None, list(self.numbers)] * w
        if self.shifted:
            its["phases"][...] -= turned
        else:
            cosine, sine = np.cos(turned)[:, :, None], np.sin(turned)[:, :, None]
            of_cosines, of_sines = V[:, :F].copy(), V[:, F:].copy()
            V[:, :F] = of_cosines * cosine - of_sines * sine
            V[:, F:] = of_cosines * sine + of_sines * cosine
        left = np.zeros((len(w), self.n_outputs)), np.ones(self.n_outputs)
        for found, given in zip(left, (offset, scale), strict=True):
            found[..., self.learned * M :] = given[..., list(self.passing)]
        return left

    def reorder(self, its: Mapping[str, np.ndarray], order: np.ndarray) -> np.ndarray:
        import numpy as np

        old = {place: m for m, place in enumerate(self.numbers)}
        moved = np.array([old[place] for place in order.tolist() if place in old], dtype=np.int64)
        for values in its.values():
            values[...] = values[..., moved]
        M = len(self.numbers)
        sums = (np.arange(self.learned)[:, None] * M + moved).reshape(-1)
        at = {place: i for i, place in enumerate(self.passing)}
        passing = [at[place] for place in order.tolist() if place in at]
        return np.concatenate([sums, self.learned * M + np.array(passing, dtype=np.int64)])


def _by_input(values: Array) -> Array:
    """(P, M, 1, n) of (P, n, M)."""
    return values.swapaxes(1, 2)[:, :, None, :]


class Pbld(Periodic):
    """Cosines with phases, their sums, and the number itself."""

    name = "pbld"
    help = "for each number sums of cosines of it, and itself"
    shifted = True
    passes_numbers = True


class Pl(Periodic):
    """Sums of sines and cosines."""

    name = "pl"
    help = "sums of sines and cosines"
    shifted = False


class Plr(Periodic):
    """Sums of sines and cosines, the negative ones as 0."""

    name = "plr"
    help = "the same, rectified"
    shifted = False
    rectified = True
