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
from gpubp.operations.layer_kinds import FRONT
from gpubp.operations.layers import Layer, Parameter
from gpubp.storage.schema import Given

MOST_NEURONS, MOST_PARAMETERS = 2**53, 2**53  # far beyond any memory; what is computed from them stays within int64


@dataclass(frozen=True, init=False)
class Architecture:
    """A multilayer perceptron: inputs, any number of hidden layers (none is a linear model), outputs.

    It is a list of layers: those in front, if there are any, and then the dense ones, each with its activation. The
    flat row of parameters holds layer after layer, from the inputs on; of a dense layer W (I, O) row by row and then
    b (O).
    """

    sizes: tuple[int, ...]  # (inputs, hidden …, outputs)
    activations: tuple[str, ...]  # one for each dense layer; the last is the output activation
    front: tuple[str, ...] = ()  # kinds of layers before the dense ones, from the inputs on

    def __init__(
        self,
        n_inputs: int,
        hidden: int | Sequence[int],
        n_outputs: int,
        activation: str | Sequence[str] = "relu",
        output_activation: str = "identity",
        front: str | Sequence[str] = (),
    ) -> None:
        """hidden: neurons of each hidden layer; activation: one name for all hidden layers, or one for each; front:
        kinds of layers before the dense ones (see operations/layer_kinds.py).

        Raises SettingsError for a size below 1, an unknown activation or kind.
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
        if self.n_parameters > MOST_PARAMETERS:
            raise SettingsError(
                f"A network {self} has {self.n_parameters:,} parameters, and no memory holds them: give hidden layers "
                f"with fewer neurons (at most {MOST_PARAMETERS:,} parameters)."
            )

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """From the inputs on; the last one is dense."""
        found: list[Layer] = []
        width = self.n_inputs
        for name in self.front:
            found.append(FRONT[name](width))  # type: ignore[call-arg]
            width = found[-1].n_outputs
        for size, activation in zip(self.sizes[1:], self.activations, strict=True):
            found.append(Dense(width, size, activation))
            width = size
        return tuple(found)

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

    def __str__(self) -> str:
        return " + ".join([*self.front, "-".join(map(str, self.sizes))])

    def to_dict(self) -> dict[str, Any]:
        """front only where there is some."""
        plain = {"sizes": list(self.sizes), "activations": list(self.activations)}
        return plain | ({"front": list(self.front)} if self.front else {})

    @classmethod
    def from_given(cls, given: Given) -> Architecture:
        """The inverse of `to_dict`, of JSON that anybody may have written; DataError where it describes no network."""
        sizes = [each.whole(1, MOST_NEURONS) for each in given["sizes"].items(least=2)]
        activations = given["activations"].each(Given.text)
        if len(activations) != len(sizes) - 1:
            raise given["activations"].wrong(f"a list of {len(sizes) - 1}, one for each dense layer")
        front = given.get("front").maybe(lambda kinds: kinds.each(Given.text)) or ()
        try:
            return cls(sizes[0], sizes[1:-1], sizes[-1], activations[:-1], activations[-1], front)
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
        check_choice("layer in front", kind, ("none", *FRONT))
    if "none" in kinds or len(set(kinds)) < len(kinds):
        raise SettingsError(f"Layers in front {', '.join(kinds)}: name each kind once, or none alone.")
    return kinds
