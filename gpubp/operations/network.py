"""Whole networks: the forward pass, the backward pass, and the gradient of the mean loss over one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpubp.backends import Array, Backend
from gpubp.operations.architecture import Architecture
from gpubp.operations.dense import dense_backward, dense_forward
from gpubp.operations.losses import Loss, Options

NO_OPTIONS: Options = {}


@dataclass(frozen=True)
class Layers:
    """Named views into a flat (P, K) array: W (P, I, O) and b (P, O) of each layer."""

    W: list[Array]
    b: list[Array]

    @classmethod
    def of(cls, architecture: Architecture, flat: Array) -> Layers:
        layers = range(architecture.n_layers)
        return cls([architecture.weights(flat, i) for i in layers], [architecture.biases(flat, i) for i in layers])


class Tape:
    """What the forward pass leaves for the backward pass: one buffer (P, B, O) for each layer's values.

    Z[i] (pre-activations) is H[i] itself unless the activation's derivative needs both. The gradients dH get buffers
    of their own only where `gradients` asks for them. With dropout, keep[i] (P, B, O) is what H[i] is multiplied by on
    its way to the next layer, and D[i] the product; without, D[i] is H[i] itself.
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
        def buffer(layer: int) -> Array:
            return backend.xp.empty((n_networks, n_rows, architecture.sizes[layer + 1]), dtype=dtype)

        layers = range(architecture.n_layers)
        self.H = [buffer(i) for i in layers]
        self.Z = [buffer(i) if gradients and architecture.activation(i).needs_input else self.H[i] for i in layers]
        self.dH = [buffer(i) for i in layers] if gradients else []
        self.D = self.H
        self.keep: list[Array] = []  # one for each hidden layer, or none
        self.loss = backend.xp.empty((n_networks, n_rows), dtype=dtype)

    def drop(self, backend: Backend, keep: list[Array]) -> None:
        """From now on, multiply the hidden layers' outputs by these."""
        if self.D is self.H:
            self.D = [*(backend.xp.empty_like(H) for H in self.H[:-1]), self.H[-1]]
        self.keep = keep


def forward(
    backend: Backend, architecture: Architecture, layers: Layers, X: Array, tape: Tape, link: bool = True
) -> Array:
    """The outputs (P, B, O) for X (B, I) or (P, B, I); without `link`, the last layer's pre-activations."""
    last = architecture.n_layers - 1
    H = X
    for i in range(architecture.n_layers):
        dense_forward(backend, H, layers.W[i], layers.b[i], out=tape.Z[i])
        if i == last and not link:
            return tape.Z[i]
        architecture.activation(i).forward(backend, tape.Z[i], tape.H[i])
        if tape.keep and i < last:
            backend.xp.multiply(tape.H[i], tape.keep[i], out=tape.D[i])
        H = tape.D[i]
    return H


def backward(
    backend: Backend,
    architecture: Architecture,
    dZ: Array,
    layers: Layers,
    X: Array,
    tape: Tape,
    d_layers: Layers,
) -> None:
    """From dZ (P, B, O), the gradient at the last pre-activations, to the gradients of all parameters."""
    for i in reversed(range(architecture.n_layers)):
        if i == 0:
            dense_backward(backend, dZ, X, layers.W[0], None, d_layers.W[0], d_layers.b[0])
            return
        below = tape.dH[i - 1]
        dense_backward(backend, dZ, tape.D[i - 1], layers.W[i], below, d_layers.W[i], d_layers.b[i])
        if tape.keep:
            below *= tape.keep[i - 1]
        architecture.activation(i - 1).backward(backend, below, tape.Z[i - 1], tape.H[i - 1], below)
        dZ = below


def loss_and_gradient(
    backend: Backend,
    architecture: Architecture,
    loss: Loss,
    layers: Layers,
    X: Array,
    T: Array,
    scale: Array | float,
    tape: Tape,
    d_layers: Layers,
    row_losses: Array,
    options: Options = NO_OPTIONS,
) -> None:
    """One forward and backward pass over a batch.

    T (P, B, O) or (B, O); scale: what each row's gradient is multiplied by, 1 / B for the mean, or (P, B, 1).
    row_losses (P, B) gets each row's loss, unscaled; d_layers the gradients. options: the loss's own, each (P, 1, 1).
    """
    Y, dY = tape.H[-1], tape.dH[-1]
    if loss.link is None:
        forward(backend, architecture, layers, X, tape)
        loss.evaluate(backend, Y, T, Y, dY, row_losses, options)
        architecture.activation(architecture.n_layers - 1).backward(backend, dY, tape.Z[-1], Y, dY)
    else:
        Z = forward(backend, architecture, layers, X, tape, link=False)
        loss.evaluate(backend, Z, T, Y, dY, row_losses, options)
    if not (isinstance(scale, float) and scale == 1.0):
        dY *= scale
    backward(backend, architecture, dY, layers, X, tape, d_layers)


def row_losses_and_outputs(
    backend: Backend,
    architecture: Architecture,
    loss: Loss,
    layers: Layers,
    X: Array,
    T: Array,
    tape: Tape,
    options: Options = NO_OPTIONS,
) -> tuple[Array, Array]:
    """The forward pass alone: each row's loss (P, B) and the predictions (P, B, O), in the tape's buffers."""
    Z = forward(backend, architecture, layers, X, tape, link=loss.link is None)
    loss.evaluate(backend, Z, T, tape.H[-1], tape.dH[-1], tape.loss, options)
    return tape.loss, tape.H[-1]


def predict(
    backend: Backend, architecture: Architecture, flat: Array, X: Array, rows_at_once: int | None = None
) -> Array:
    """The outputs (P, N, O) for flat parameters (P, K) and X (N, I) or (P, N, I)."""
    return predict_by_layers(backend, architecture, Layers.of(architecture, flat), X, rows_at_once)


def predict_by_layers(
    backend: Backend, architecture: Architecture, layers: Layers, X: Array, rows_at_once: int | None = None
) -> Array:
    """The outputs (P, N, O) for layers of X's dtype and X (N, I) or (P, N, I).

    Long tables go in pieces, so that the layers' buffers stay in the caches, or fill a GPU; on a CPU, pieces take as
    much as the weights at the least, which are read for each of them.
    """
    xp = backend.xp
    n_networks, n_rows, dtype = len(layers.W[0]), X.shape[-2], layers.W[0].dtype
    if rows_at_once is None:
        row_bytes = n_networks * sum(architecture.sizes[1:]) * dtype.itemsize
        weights = n_networks * architecture.n_parameters * dtype.itemsize
        room = backend.at_once.prediction_bytes
        if backend.on_host:
            room = max(room, weights)
        rows_at_once = max(1, room // row_bytes)
    if n_rows <= rows_at_once:
        return forward(backend, architecture, layers, X, Tape(backend, architecture, n_networks, n_rows, dtype, False))
    out = xp.empty((n_networks, n_rows, architecture.n_outputs), dtype=dtype)
    tape: Tape | None = None
    for start in range(0, n_rows, rows_at_once):
        piece = X[..., start : start + rows_at_once, :]
        if tape is None or piece.shape[-2] != tape.loss.shape[1]:
            tape = Tape(backend, architecture, n_networks, piece.shape[-2], dtype, gradients=False)
        out[:, start : start + rows_at_once] = forward(backend, architecture, layers, piece, tape)
    return out
