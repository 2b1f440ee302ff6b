"""Whole networks: first parameters, the forward and the backward pass, the gradient of the mean loss over a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.errors import SettingsError
from gpubp.errors.suggestions import check_choice
from gpubp.operations.architecture import Architecture
from gpubp.operations.data_dependent import fit_to_rows
from gpubp.operations.dense import Dense, DenseValues, dense_forward
from gpubp.operations.initializers import INITIALIZERS, Draw
from gpubp.operations.layers import Layer, Parameter, Values
from gpubp.operations.losses import Loss, Options

NO_OPTIONS: Options = {}

LayerViews = Sequence[Mapping[str, Array]]
"""Of each layer its arrays by name, (P, …): parameters or gradients; see `Architecture.views`."""


def initial_parameters(
    architecture: Architecture,
    seeds: np.ndarray,
    initializer: str | Draw = "auto",
    X: np.ndarray | None = None,
    options: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Flat parameters (P, K) float64 for seeds (P,) uint64.

    "auto" takes what suits each layer: see `Dense.initial`. A function draws for every dense layer. What a layer draws
    depends on its place among the layers of its kind alone. X (P, N, I) float64: rows of each network's training, for
    an initializer that looks at them. options: of the layers, a number or (P,) each; those of first values matter.
    """
    if isinstance(initializer, str):
        check_choice("initializer", initializer, ("auto", *INITIALIZERS))
    drawn, places = [], Counter[str]()
    for layer in architecture.layers:
        kind = Dense.name if isinstance(layer, Dense) else layer.name  # parametric ones are counted with the others
        drawn.append(layer.initial(seeds, places[kind], initializer))
        places[kind] += 1
    params = np.concatenate(drawn, axis=1)
    for layer, its in zip(architecture.layers, architecture.views(params), strict=True):
        starting = {each.name: each.default for each in layer.options if each.of_first_values}
        if starting:
            given = starting | {name: value for name, value in (options or {}).items() if name in starting}
            layer.start(its, {name: np.broadcast_to(value, seeds.shape) for name, value in given.items()})
    if needs_rows(initializer):
        if X is None:
            raise SettingsError(
                f"The initializer {initializer} looks at the rows that a network is trained on: give them "
                "(Population.initialize(..., X=...)), or choose another initializer."
            )
        fit_to_rows(architecture, params, seeds, X)
    return params


def needs_rows(initializer: str | Draw) -> bool:
    """Whether it looks at the rows that a network is trained on."""
    return isinstance(initializer, str) and initializer in INITIALIZERS and INITIALIZERS[initializer].needs_rows


def decaying(architecture: Architecture, views: LayerViews) -> list[tuple[Layer, Parameter, Array]]:
    """The arrays (P, …) that L2 and weight decay shrink, each with what it is: all but biases."""
    return [
        (layer, parameter, its[parameter.name])
        for layer, its in zip(architecture.layers, views, strict=True)
        for parameter in layer.parameters
        if parameter.group.decay != 0.0
    ]


class Tape:
    """What the forward pass leaves for the backward pass: the values of each layer, in buffers (P, B, O), and the
    losses of the rows. The gradients get buffers of their own only where `gradients` asks for them.
    """

    def __init__(
        self,
        backend: Backend,
        architecture: Architecture,
        n_networks: int,
        n_rows: int,
        dtype: Any,
        gradients: bool = True,
    ) -> None:
        self.values: list[Values] = [
            layer.values(backend, n_networks, n_rows, dtype, gradients) for layer in architecture.layers
        ]
        self.dense = [values for values in self.values if isinstance(values, DenseValues)]
        self.last = self.dense[-1]
        self.loss = backend.xp.empty((n_networks, n_rows), dtype=dtype)

    def drop(self, backend: Backend, keep: list[Array]) -> None:
        """From now on, multiply the hidden layers' outputs by these, one (P, B, O) for each."""
        for values, factors in zip(self.dense, keep, strict=False):
            values.drop(backend, factors)


def forward(
    backend: Backend, architecture: Architecture, views: LayerViews, X: Array, tape: Tape, link: bool = True
) -> Array:
    """The outputs (P, B, O) for X (B, I) or (P, B, I); without `link`, the last layer's pre-activations."""
    last = len(architecture.layers) - 1
    for i, layer in enumerate(architecture.layers):
        if i == last and not link:
            dense_forward(backend, X, views[i]["weights"], views[i]["biases"], out=tape.last.Z)
            return tape.last.Z
        X = layer.forward(backend, X, views[i], tape.values[i])
    return X


def backward(
    backend: Backend,
    architecture: Architecture,
    dZ: Array,
    views: LayerViews,
    X: Array,
    tape: Tape,
    d_views: LayerViews,
) -> None:
    """From dZ (P, B, O), the gradient at the last pre-activations, to the gradients of all parameters."""
    values, dY = tape.values, dZ
    for i in reversed(range(len(values))):
        before, dX = (values[i - 1].Y, values[i - 1].dY) if i else (X, None)
        if i == len(values) - 1:
            architecture.dense[-1].backward_from_sums(backend, dY, before, views[i], dX, d_views[i])
        else:
            architecture.layers[i].backward(backend, dY, before, views[i], values[i], dX, d_views[i])
        if dX is not None:
            dY = dX


def loss_and_gradient(
    backend: Backend,
    architecture: Architecture,
    loss: Loss,
    views: LayerViews,
    X: Array,
    T: Array,
    scale: Array | float,
    tape: Tape,
    d_views: LayerViews,
    row_losses: Array,
    options: Options = NO_OPTIONS,
) -> None:
    """One forward and backward pass over a batch.

    T (P, B, O) or (B, O); scale: what each row's gradient is multiplied by, 1 / B for the mean, or (P, B, 1).
    row_losses (P, B) gets each row's loss, unscaled; d_views the gradients. options: the loss's own, each (P, 1, 1).
    """
    Y, dY = tape.last.H, tape.last.dY
    if loss.link is None:
        forward(backend, architecture, views, X, tape)
        loss.evaluate(backend, Y, T, Y, dY, row_losses, options)
        architecture.dense[-1].f.backward(backend, dY, tape.last.Z, Y, dY)
    else:
        Z = forward(backend, architecture, views, X, tape, link=False)
        loss.evaluate(backend, Z, T, Y, dY, row_losses, options)
    if not (isinstance(scale, float) and scale == 1.0):
        dY *= scale
    backward(backend, architecture, dY, views, X, tape, d_views)


def row_losses_and_outputs(
    backend: Backend,
    architecture: Architecture,
    loss: Loss,
    views: LayerViews,
    X: Array,
    T: Array,
    tape: Tape,
    options: Options = NO_OPTIONS,
) -> tuple[Array, Array]:
    """The forward pass alone: each row's loss (P, B) and the predictions (P, B, O), in the tape's buffers."""
    Z = forward(backend, architecture, views, X, tape, link=loss.link is None)
    loss.evaluate(backend, Z, T, tape.last.H, tape.last.dY, tape.loss, options)
    return tape.loss, tape.last.H


def predict(
    backend: Backend, architecture: Architecture, flat: Array, X: Array, rows_at_once: int | None = None
) -> Array:
    """The outputs (P, N, O) for flat parameters (P, K) and X (N, I) or (P, N, I)."""
    return predict_by_views(backend, architecture, architecture.views(flat), X, rows_at_once)


def predict_by_views(
    backend: Backend, architecture: Architecture, views: LayerViews, X: Array, rows_at_once: int | None = None
) -> Array:
    """The outputs (P, N, O) for parameters of X's dtype and X (N, I) or (P, N, I).

    Long tables go in pieces, so that the layers' buffers stay in the caches, or fill a GPU; on a CPU, pieces take as
    much as the weights at the least, which are read for each of them.
    """
    xp = backend.xp
    W = views[-1]["weights"]
    n_networks, n_rows, dtype = len(W), X.shape[-2], W.dtype
    if rows_at_once is None:
        row_bytes = n_networks * architecture.n_values * dtype.itemsize
        weights = n_networks * architecture.n_parameters * dtype.itemsize
        room = backend.at_once.prediction_bytes
        if backend.on_host:
            room = max(room, weights)
        rows_at_once = max(1, room // row_bytes)
    if n_rows <= rows_at_once:
        return forward(backend, architecture, views, X, Tape(backend, architecture, n_networks, n_rows, dtype, False))
    out = xp.empty((n_networks, n_rows, architecture.n_outputs), dtype=dtype)
    tape: Tape | None = None
    for start in range(0, n_rows, rows_at_once):
        piece = X[..., start : start + rows_at_once, :]
        if tape is None or piece.shape[-2] != tape.loss.shape[1]:
            tape = Tape(backend, architecture, n_networks, piece.shape[-2], dtype, gradients=False)
        out[:, start : start + rows_at_once] = forward(backend, architecture, views, piece, tape)
    return out
