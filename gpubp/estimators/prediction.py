"""The networks' outputs for rows, from coefs_ and intercepts_ as they are now; members are asked as one population."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gpubp.backends import Array
from gpubp.backends.placement import backend_of, choose_backend, to_host
from gpubp.engines.prediction import predict_rows, worth_a_kernel
from gpubp.estimators.inputs import Inputs, receive
from gpubp.estimators.networks import architecture_of, members_of, packed, views_of
from gpubp.networks.population import Population
from gpubp.operations.network import predict_by_views

PIECE_ROWS = 4096  # that are made dense, or shown to many members, at a time; more where that takes no more memory


def outputs(mlp: Any, X: Any) -> tuple[Array, bool]:
    """(N, O) where X is, and whether that is a device: the mean over the members where there are several.

    The dtype is the wider of the network's and that of X; with the parameter dtype, it is that one.
    """
    return _over_pieces(mlp, X, lambda xp, Y: Y[0] if len(Y) == 1 else Y.mean(axis=0))


def spread_of_members(mlp: Any, X: Any) -> Array:
    """The members' standard deviation, where X is: see `MLP.disagreement`."""
    one_class, one_column = mlp.out_activation_ == "softmax", mlp.n_outputs_ == 1

    def spread(xp: Any, Y: Array) -> Array:
        mean = Y.mean(axis=0)
        found = xp.sqrt(xp.square(Y - mean).mean(axis=0))
        if one_class:
            return found[xp.arange(len(found)), mean.argmax(axis=1)]
        return found[:, 0] if one_column else found

    return _over_pieces(mlp, X, spread)[0]


def _over_pieces(mlp: Any, X: Any, of_members: Callable[[Any, Array], Array]) -> tuple[Array, bool]:
    """What of_members(xp, Y) makes of the outputs Y (M, n, O) for n rows at a time; and whether it is on a device."""
    inputs = receive(mlp, X)
    members, n_rows = members_of(mlp), inputs.X.shape[0]
    architecture, n_members = architecture_of(mlp), len(members)
    dtype = np.dtype(mlp.dtype) if mlp.dtype else np.result_type(inputs.X.dtype, members[0].coefs_[0].dtype)
    backend = choose_backend(mlp.backend, inputs.device_array, 2.0 * n_rows * n_members * architecture.n_parameters)
    few = n_members == 1 and n_rows <= PIECE_ROWS and backend.on_host and not inputs.on_device
    if few and worth_a_kernel(backend, architecture, 1, n_rows) is None:  # copies of the weights would take longer
        views, table = views_of(members[0], dtype), backend.to_device(inputs.dense(dtype))
        with backend.quiet():
            return of_members(np, predict_by_views(backend, architecture, views, table)), False
    params = backend.to_device(packed(mlp, dtype))
    population = Population(architecture, params, np.zeros(n_members, np.uint64), backend)
    pieces = []
    for piece in _pieces(inputs, n_members):
        table = piece.dense(dtype)
        if piece.on_device and backend.on_host:
            table = to_host(table)
        Y = of_members(backend.xp, predict_rows(population, backend.to_device(table, dtype)))
        pieces.append(Y if inputs.on_device else backend.to_host(Y))
    found = pieces[0] if len(pieces) == 1 else (backend.xp if inputs.on_device else np).concatenate(pieces)
    if inputs.on_device and backend.on_host:
        found = backend_of(inputs.X).to_device(found)
    return found, inputs.on_device


def _pieces(inputs: Inputs, n_members: int) -> list[Inputs]:
    """So many rows at a time that M members take the memory that one network takes; sparse ones a few thousand."""
    n_rows = inputs.X.shape[0]
    size = PIECE_ROWS if inputs.is_sparse else max(PIECE_ROWS, -(-n_rows // n_members))
    if n_rows <= size:
        return [inputs]
    rows = inputs.X.tocsr() if inputs.is_sparse else inputs.X
    return [Inputs(rows[i : i + size], inputs.on_device) for i in range(0, n_rows, size)]
