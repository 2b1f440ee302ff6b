"""The shape of a network, and where each of its parameters lies in its flat row of K parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from gpubp.backends import Array
from gpubp.errors import DataError, SettingsError, quoted
from gpubp.errors.suggestions import check_choice
from gpubp.operations.activations import ACTIVATIONS, Activation
from gpubp.storage.schema import Given

MOST_NEURONS, MOST_PARAMETERS = 2**53, 2**53  # far beyond any memory; what is computed from them stays within int64


@dataclass(frozen=True, init=False)
class Architecture:
    """A multilayer perceptron: inputs, any number of hidden layers (none is a linear model), outputs.

    The flat layout holds layer after layer, from the inputs on, W (I, O) row by row and then b (O).
    """

    sizes: tuple[int, ...]  # (inputs, hidden …, outputs)
    activations: tuple[str, ...]  # one for each layer of weights; the last is the output activation

    def __init__(
        self,
        n_inputs: int,
        hidden: int | Sequence[int],
        n_outputs: int,
        activation: str | Sequence[str] = "relu",
        output_activation: str = "identity",
    ) -> None:
        """hidden: neurons of each hidden layer; activation: one name for all hidden layers, or one for each.

        Raises SettingsError for a size below 1 or an unknown activation.
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
        if self.n_parameters > MOST_PARAMETERS:
            raise SettingsError(
                f"A network {self} has {self.n_parameters:,} parameters, and no memory holds them: give hidden layers "
                f"with fewer neurons (at most {MOST_PARAMETERS:,} parameters)."
            )

    @property
    def n_inputs(self) -> int:
        return self.sizes[0]

    @property
    def n_outputs(self) -> int:
        return self.sizes[-1]

    @property
    def hidden(self) -> tuple[int, ...]:
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
        """Layers of weights."""
        return len(self.sizes) - 1

    @property
    def n_parameters(self) -> int:
        """K: weights and biases of one network."""
        return self.offset(self.n_layers)

    def offset(self, layer: int) -> int:
        """Where the parameters of a layer of weights (counted from 0) begin in the flat row."""
        return self._offsets[layer]

    @cached_property
    def _offsets(self) -> tuple[int, ...]:
        return (0, *accumulate((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(self.sizes)))

    def activation(self, layer: int) -> Activation:
        return ACTIVATIONS[self.activations[layer]]

    def weights(self, flat: Array, layer: int) -> Array:
        """A view W (P, I, O) into flat (P, K): parameters, gradients, or an optimizer's state."""
        fan_in, fan_out = self.sizes[layer : layer + 2]
        start = self.offset(layer)
        return flat[:, start : start + fan_in * fan_out].reshape(flat.shape[0], fan_in, fan_out)

    def biases(self, flat: Array, layer: int) -> Array:
        """A view b (P, O) into flat (P, K)."""
        end = self.offset(layer + 1)
        return flat[:, end - self.sizes[layer + 1] : end]

    def __str__(self) -> str:
        return "-".join(map(str, self.sizes))

    def to_dict(self) -> dict[str, Any]:
        return {"sizes": list(self.sizes), "activations": list(self.activations)}

    @classmethod
    def from_given(cls, given: Given) -> Architecture:
        """The inverse of `to_dict`, of JSON that anybody may have written; DataError where it describes no network."""
        sizes = [each.whole(1, MOST_NEURONS) for each in given["sizes"].items(least=2)]
        activations = given["activations"].each(Given.text)
        if len(activations) != len(sizes) - 1:
            raise given["activations"].wrong(f"a list of {len(sizes) - 1}, one for each layer of weights")
        try:
            return cls(sizes[0], sizes[1:-1], sizes[-1], activations[:-1], activations[-1])
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
