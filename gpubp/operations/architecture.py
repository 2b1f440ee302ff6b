"""The layers of a network, and where each of its parameters lies in its flat row of K parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np

from gpubp.backends import Array
from gpubp.errors import DataError, SettingsError, quoted
from gpubp.errors.suggestions import check_choice
from gpubp.operations.activations import ACTIVATIONS, Activation
from gpubp.operations.dense import Dense
from gpubp.operations.embedding import regrouped
from gpubp.operations.layer_kinds import FRONT
from gpubp.operations.layers import Inputs, Layer, Parameter
from gpubp.operations.parametric import PARAMETRIC, ParametricDense
from gpubp.storage.schema import Given

MOST_NEURONS, MOST_PARAMETERS = 2**53, 2**53  # far beyond any memory; what is computed from them stays within int64


@dataclass(frozen=True, init=False)
class Architecture:
    """A multilayer perceptron: inputs, any number of hidden layers (none is a linear model), outputs.

    It is a list of layers: those in front, if there are any, and then the dense ones, each with its activation. The
    flat row of parameters holds layer after layer, from the inputs on; of a dense layer W (I, O) row by row, then
    b (O), and where its activation is parametric the slopes a (O).
    """

    sizes: tuple[int, ...]  # (inputs, hidden …, outputs)
    activations: tuple[str, ...]  # one for each dense layer; the last is the output activation
    front: tuple[str, ...] = ()  # layers before the dense ones, from the inputs on, such as "scale" or "pbld:16x4"
    indicators: tuple[int, ...] = ()  # inputs that are no numbers, where a layer in front cares
    categories: tuple[tuple[int, ...], ...] = ()  # of each column of categories its inputs, where one cares

    def __init__(
        self,
        n_inputs: int,
        hidden: int | Sequence[int],
        n_outputs: int,
        activation: str | Sequence[str] = "relu",
        output_activation: str = "identity",
        front: str | Sequence[str] = (),
        indicators: Sequence[int] = (),
        categories: Sequence[Sequence[int]] = (),
    ) -> None:
        """hidden: neurons of each hidden layer; activation: one name for all hidden layers, or one for each, such as
        "mish", or "parametric_mish", of which each neuron learns how much it takes (see operations/parametric.py);
        front: kinds of layers before the dense ones (see operations/layer_kinds.py), each with its sizes if it has any;
        indicators: places of inputs that are no numbers, but ones and zeros of categories; categories: of each column
        of categories the places of its inputs, which are indicators, too.

        Raises SettingsError for a size below 1, an unknown activation or kind, an input that there is not.
        """
        if not isinstance(hidden, str) and hasattr(hidden, "__iter__"):
            widths: tuple[Any, ...] = tuple(hidden)
        else:
            widths = (hidden,)
        sizes = (n_inputs, *widths, n_outputs)
        _check_sizes(sizes)
        hidden_activations = (activation,) * len(widths) if isinstance(activation, str) else tuple(activation)
        if len(hidden_activations) != len(widths):
            raise SettingsError(
                f"{len(hidden_activations)} activations for {len(widths)} hidden layers: "
                "give one for all, or one for each."
            )
        for name in hidden_activations:
            _check_activation(name, hidden=True)
        _check_activation(output_activation, hidden=False)
        object.__setattr__(self, "sizes", tuple(int(size) for size in sizes))
        object.__setattr__(self, "activations", (*hidden_activations, output_activation))
        object.__setattr__(self, "front", front_kinds(front))
        kinds = [FRONT[kind_of(layer)] for layer in self.front]
        groups = _checked_categories(categories, self.n_inputs) if any(k.takes_categories for k in kinds) else ()
        places = [*indicators, *(place for group in groups for place in group)]
        cares = any(kind.takes_indicators for kind in kinds)
        object.__setattr__(self, "indicators", _checked_indicators(places, self.n_inputs) if cares else ())
        object.__setattr__(self, "categories", groups)
        if self.n_parameters > MOST_PARAMETERS:
            raise SettingsError(
                f"A network {self} has {self.n_parameters:,} parameters, and no memory holds them: give hidden layers "
                f"with fewer neurons (at most {MOST_PARAMETERS:,} parameters)."
            )

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """From the inputs on; the last one is dense."""
        found: list[Layer] = []
        inputs = Inputs(self.n_inputs, self.indicators, self.categories)
        for spec in self.front:
            found.append(FRONT[kind_of(spec)].of(inputs, sizes_of(spec)))
            inputs = found[-1].passed(inputs)
        width = inputs.n
        for i, (size, activation) in enumerate(zip(self.sizes[1:], self.activations, strict=True)):
            kind: type[Dense] = ParametricDense if activation in PARAMETRIC else Dense
            found.append(kind(width, size, activation, first=i == 0))
            width = size
        return tuple(found)

    @cached_property
    def special(self) -> tuple[str, ...]:
        """The kinds of layers beside plain dense ones, from the inputs on; each once."""
        return tuple(dict.fromkeys(layer.name for layer in self.layers if layer.name != Dense.name))

    @cached_property
    def dense(self) -> tuple[Dense, ...]:
        return tuple(layer for layer in self.layers if isinstance(layer, Dense))

    @property
    def n_inputs(self) -> int:
        return self.sizes[0]

    @property
    def n_outputs(self) -> int:
        return self.sizes[-1]

    @property
    def hidden(self) -> tuple[int, ...]:
        """Neurons of each hidden layer."""
        return self.sizes[1:-1]

    def neurons(self, layer: int) -> range:
        """The numbers of a hidden layer's neurons (from layer 0 on), counted over all of them."""
        start = sum(self.hidden[:layer])
        return range(start, start + self.hidden[layer])

    @property
    def output_activation(self) -> str:
        return self.activations[-1]

    @property
    def n_layers(self) -> int:
        """Dense layers."""
        return len(self.sizes) - 1

    @cached_property
    def n_values(self) -> int:
        """The numbers that a row becomes on its way: the outputs of all layers."""
        return sum(layer.n_outputs for layer in self.layers)

    @property
    def n_parameters(self) -> int:
        """K: all that one network learns."""
        return self._starts[-1]

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """Where each layer's parameters begin in the flat row; and where the last one's end."""
        return (0, *accumulate(layer.n_parameters for layer in self.layers))

    @cached_property
    def _places(self) -> tuple[tuple[tuple[str, slice, tuple[int, ...]], ...], ...]:
        """Of each layer its parameters: name, where it lies in the flat row, shape."""
        found, start = [], 0
        for layer in self.layers:
            places = []
            for parameter in layer.parameters:
                places.append((parameter.name, slice(start, start + parameter.size), parameter.shape))
                start += parameter.size
            found.append(tuple(places))
        return tuple(found)

    def views(self, flat: Array) -> list[dict[str, Array]]:
        """Of each layer the parameters by name, (P, *shape), that lie in flat (P, K): parameters, gradients, or an
        optimizer's state.
        """
        n = len(flat)
        return [{name: flat[:, at].reshape(n, *shape) for name, at, shape in layer} for layer in self._places]

    def activation(self, layer: int) -> Activation:
        """Of a dense layer, counted from 0."""
        return self.dense[layer].f

    def offset(self, layer: int) -> int:
        """Where the parameters of a dense layer (counted from 0) begin in the flat row."""
        return self._starts[len(self.front) + layer]

    def weights(self, flat: Array, layer: int) -> Array:
        """A view W (P, I, O) of a dense layer (counted from 0) into flat (P, K)."""
        return self._view(flat, layer, 0)

    def biases(self, flat: Array, layer: int) -> Array:
        """A view b (P, O) into flat (P, K)."""
        return self._view(flat, layer, 1)

    def _view(self, flat: Array, layer: int, parameter: int) -> Array:
        _, at, shape = self._places[len(self.front) + layer][parameter]
        return flat[:, at].reshape(len(flat), *shape)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The arrays that are learned, in the order in which they lie in the flat row."""
        return tuple(parameter for layer in self.layers for parameter in layer.parameters)

    def reordered(self, order: np.ndarray) -> Architecture:
        """Of the same network, for inputs that come in another order: input i is what input order[i] was."""
        found = [place for place, old in enumerate(order.tolist()) if old in self.indicators]
        return Architecture(
            self.n_inputs,
            self.hidden,
            self.n_outputs,
            self.activations[:-1],
            self.output_activation,
            self.front,
            found,
            regrouped(self.categories, order),
        )

    def __str__(self) -> str:
        return " + ".join([*self.front, "-".join(map(str, self.sizes))])

    def to_dict(self) -> dict[str, Any]:
        """front, indicators and categories only where there are some."""
        plain = {"sizes": list(self.sizes), "activations": list(self.activations)}
        more = {"front": list(self.front), "indicators": list(self.indicators)}
        more["categories"] = [list(group) for group in self.categories]
        return plain | {name: value for name, value in more.items() if value}

    @classmethod
    def from_given(cls, given: Given) -> Architecture:
        """The inverse of `to_dict`, of JSON that anybody may have written; DataError where it describes no network."""
        sizes = [each.whole(1, MOST_NEURONS) for each in given["sizes"].items(least=2)]
        activations = given["activations"].each(Given.text)
        if len(activations) != len(sizes) - 1:
            raise given["activations"].wrong(f"a list of {len(sizes) - 1}, one for each dense layer")
        front = given.get("front").maybe(lambda kinds: kinds.each(Given.text)) or ()
        places = given.get("indicators").maybe(lambda each: [one.whole(0, MOST_NEURONS) for one in each.items()]) or ()
        groups = given.get("categories").maybe(
            lambda all_of: [[one.whole(0, MOST_NEURONS) for one in group.items(least=1)] for group in all_of.items()]
        )
        try:
            return cls(sizes[0], sizes[1:-1], sizes[-1], activations[:-1], activations[-1], front, places, groups or ())
        except SettingsError as error:
            raise DataError(f"{given.place}: {error}") from error


def _check_sizes(sizes: Sequence[int]) -> None:
    roles = ["inputs", *[f"neurons in hidden layer {i}" for i in range(1, len(sizes) - 1)], "outputs"]
    for size, role in zip(sizes, roles, strict=True):
        if not is_whole(size) or not 1 <= size <= MOST_NEURONS:
            raise SettingsError(
                f"{quoted(size)} {role}: a layer needs a whole number of neurons, at least 1 (hidden layers, for "
                f"example, of 64 or 128,64), at most {MOST_NEURONS:,}."
            )


def is_whole(size: Any) -> bool:
    """Whether it is a whole number, of whatever type; truth values are not, nor what is not finite."""
    if isinstance(size, (bool, np.bool_)) or not isinstance(size, (int, float, np.integer, np.floating)):
        return False
    return isinstance(size, (int, np.integer)) or float(size).is_integer()


def _check_activation(name: str, hidden: bool) -> None:
    usable = [entry.name for entry in ACTIVATIONS.values() if not (hidden and entry.only_output)]
    if hidden and isinstance(name, str) and name.startswith("param"):  # a slip in "parametric_tanh" is told of these
        usable = [*PARAMETRIC]
    check_choice("activation", name, usable, " for a hidden layer" if hidden else " for the output layer")


def front_kinds(given: Any) -> tuple[str, ...]:
    """The kinds of layers before the dense ones: of a name, of names with commas between, of a sequence of names; None
    or "none" for no such layer. SettingsError for what is no such kind, or named twice.
    """
    if given is None or (isinstance(given, str) and given.strip().lower() == "none"):
        return ()
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",")]
    kinds = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    for kind in kinds:
        check_choice("layer in front", kind_of(kind) if isinstance(kind, str) else kind, ("none", *FRONT))
    if "none" in kinds or len({kind_of(kind) for kind in kinds}) < len(kinds):
        raise SettingsError(f"Layers in front {', '.join(kinds)}: name each kind once, or none alone.")
    for kind in kinds:
        if ":" in kind:
            FRONT[kind_of(kind)].check_sizes(sizes_of(kind))
    return kinds


def kind_of(spec: str) -> str:
    """The name of a layer in front, without its sizes: "pbld" of "pbld:16x4"."""
    return spec.partition(":")[0]


def sizes_of(spec: str) -> tuple[int, ...]:
    """Those of a layer in front, such as (16, 4) of "pbld:16x4"; () where it names none."""
    _, colon, sizes = spec.partition(":")
    parts = sizes.split("x") if colon else []
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise SettingsError(f"Layer in front {quoted(spec)}: sizes are whole numbers with x between, as in pbld:16x4.")
    return tuple(int(part) for part in parts)


def _checked_indicators(given: Sequence[int], n_inputs: int) -> tuple[int, ...]:
    """Ascending."""
    found = tuple(sorted({int(place) for place in given}))
    if found and not 0 <= found[0] <= found[-1] < n_inputs:
        raise SettingsError(f"Indicators {', '.join(map(str, found))}: a network has the inputs 0 to {n_inputs - 1}.")
    return found


def _checked_categories(given: Sequence[Sequence[int]], n_inputs: int) -> tuple[tuple[int, ...], ...]:
    """Ascending, groups and what is in them."""
    groups = tuple(sorted(_checked_indicators(group, n_inputs) for group in given if len(group)))
    places = [place for group in groups for place in group]
    if len({*places}) < len(places):
        raise SettingsError("Categories: an input belongs to one column alone, and here it is named for two.")
    return groups
