"""What every kind of layer says of itself: its parameters, their groups, its forward and its backward pass.

A new kind is a file with one class beside its mathematics (dense.py, for instance) and an entry in layer_kinds.py. The
array engine trains it then; the kernels refuse it until they have their own forward and backward pass of it.

Nothing heavy is imported here, nor by the kinds: the command line's help is made of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from gpubp.errors import SettingsError
from gpubp.operations.options import Option

if TYPE_CHECKING:
    import numpy as np

    from gpubp.backends import Array, Backend
    from gpubp.operations.activations import Nodes
    from gpubp.operations.initializers import Draw


@dataclass(frozen=True)
class Group:
    """Parameters that learn alike. rate: what the learning rate is multiplied by for them; decay: what the strengths of
    L2 and of weight decay are multiplied by. Each is a number, or an option that every network has a value of its own
    for.
    """

    name: str
    rate: float | Option = 1.0
    decay: float | Option = 1.0


WEIGHTS, BIASES = Group("weights"), Group("biases", decay=0.0)


def factor(of: float | Option, options: Mapping[str, Array]) -> float | Array:
    """A group's factor: the number, or what the networks have of the option."""
    return options[of.name] if isinstance(of, Option) else of


class Factors(NamedTuple):
    """Of a parameter, each a number or what the networks have: what the learning rate, the strength of L2, and that of
    weight decay are multiplied by. Decoupled weight decay is taken at the parameter's own learning rate.
    """

    rate: float | Array
    l2: float | Array
    decay: float | Array


@dataclass(frozen=True)
class Parameter:
    """One array of a layer's parameters. shape: of one network; a population's has a first axis of P networks."""

    name: str
    shape: tuple[int, ...]
    group: Group

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Inputs(NamedTuple):
    """What the n inputs of a layer are. indicators: the places of those that are no numbers, but ones and zeros of
    categories, or what else a layer before it made; categories: of each column of categories those of its inputs.
    """

    n: int
    indicators: tuple[int, ...] = ()
    categories: tuple[tuple[int, ...], ...] = ()

    def among(self, passing: Sequence[int], first: int, n: int) -> Inputs:
        """What n outputs are of which those from `first` on are the inputs `passing`, and the others numbers."""
        at = {old: first + i for i, old in enumerate(passing)}
        indicators = tuple(at[old] for old in self.indicators if old in at)
        return Inputs(n, indicators, tuple(tuple(at[old] for old in one) for one in self.categories if one[0] in at))


class Values:
    """What a layer's forward pass leaves for its backward pass, in buffers that every batch uses again.

    Y (P, B, O): the outputs, as the next layer gets them; dY (P, B, O): the gradient at them, in training alone.
    """

    Y: Array
    dY: Array


TakenOver = tuple["np.ndarray", "np.ndarray"]
"""An offset (O,) or (P, O), and a scale (O,)."""


class Layer(ABC):
    """One layer of a network: outputs (P, B, O) for inputs (P, B, I), or (B, I) shared by all networks.

    Its parameters lie one after the other in the flat row of a network, in the order of `parameters`. `its` are views
    of them by name, each (P, *shape); `d_its` the same views of the gradients.
    """

    name: ClassVar[str]
    help: ClassVar[str] = ""  # a few words for the command line, of kinds that can stand in front
    options: ClassVar[tuple[Option, ...]] = ()  # of its groups, and of its first values
    in_front: ClassVar[bool] = False  # whether it can stand before the dense layers: it is made from its inputs alone
    only_factors: ClassVar[bool] = False  # whether all it does is to multiply its inputs, by the parameter "factors"
    takes_indicators: ClassVar[bool] = False  # whether it treats inputs that are no numbers apart
    takes_categories: ClassVar[bool] = False  # whether it needs to know which inputs are one column's categories
    takes_sizes: ClassVar[str] = ""  # what the numbers after its name are, as in pbld:16x4; "": it has none
    n_inputs: int
    n_outputs: int

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """The arrays that are learned."""

    @cached_property
    def n_parameters(self) -> int:
        return sum(parameter.size for parameter in self.parameters)

    @classmethod
    def of(cls, inputs: Inputs, sizes: Sequence[int] = ()) -> Layer:
        """A layer in front. sizes: those that were asked for, if any."""
        return cls(inputs.n)  # type: ignore[call-arg]

    @classmethod
    def check_sizes(cls, sizes: Sequence[int]) -> None:
        """SettingsError for sizes that it cannot have."""
        raise SettingsError(f"Layer in front {cls.name}: it has no sizes; found {'x'.join(map(str, sizes))}.")

    def passed(self, inputs: Inputs) -> Inputs:
        """What its outputs are, for a layer in front that comes next."""
        return inputs if self.only_factors else Inputs(self.n_outputs)

    @property
    def columns(self) -> int:
        """Of the matrix that its parameters are, row by row."""
        return self.n_outputs

    @abstractmethod
    def initial(self, seeds: np.ndarray, place: int, draw: str | Draw) -> np.ndarray:
        """(P, this layer's parameters) float64 for seeds (P,) uint64. place: among the layers of this kind, from 0;
        draw: an initializer's name, "auto" or a function (see initializers.py).
        """

    def factors(self, parameter: Parameter, options: Mapping[str, Array]) -> Factors:
        """Of one of its parameters, by the networks' options."""
        decay = factor(parameter.group.decay, options)
        return Factors(factor(parameter.group.rate, options), decay, decay)

    def start(self, its: Mapping[str, np.ndarray], options: Mapping[str, np.ndarray]) -> None:  # noqa: B027
        """Change the drawn parameters as the options of first values say, each (P,)."""

    @abstractmethod
    def values(self, backend: Backend, n_networks: int, n_rows: int, dtype: Any, gradients: bool) -> Values:
        """Buffers for batches of n_rows rows; those of gradients only where they are asked for."""

    @abstractmethod
    def forward(self, backend: Backend, X: Array, its: Mapping[str, Array], values: Any) -> Array:
        """The outputs, values.Y."""

    @abstractmethod
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
        """From dY, which may be changed, to the gradients of the parameters, and to dX (P, B, I) at the inputs; dX is
        None for the first layer, before which nothing learns.
        """

    @abstractmethod
    def nodes(self, op: Nodes, X: str, its: Mapping[str, np.ndarray]) -> str:
        """The same as the forward pass in ONNX's basic operators. its: of one network, each of the parameter's shape,
        or of several, with an axis of networks before it.
        """

    @abstractmethod
    def take_over(self, its: Mapping[str, np.ndarray], offset: np.ndarray, scale: np.ndarray) -> TakenOver | None:
        """Change the parameters so that the layer answers for v as it did for (v − offset) / scale.

        offset (I,) or (P, I), scale (I,). Returns an offset and a scale of its outputs for the next layer to take over;
        None where they are right.
        """

    @abstractmethod
    def reorder(self, its: Mapping[str, np.ndarray], order: np.ndarray) -> np.ndarray | None:
        """Change the parameters for inputs that come in another order. Returns the outputs' order; None for the old."""
