"""The network's outputs for rows, from coefs_ and intercepts_ as they are now."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubp.backends import Array, get_backend
from gpubp.estimators.inputs import Inputs, receive
from gpubp.estimators.networks import architecture_of, pack
from gpubp.estimators.places import choose_backend
from gpubp.population import Population

SPARSE_ROWS = 4096  # made dense at a time


def outputs(mlp: Any, X: Any) -> tuple[Array, bool]:
    """(N, O) where X is, and whether that is a device. The dtype is the wider of the network's and that of X.

    With the parameter dtype, it is that one.
    """
    inputs = receive(mlp, X)
    architecture = architecture_of(mlp)
    dtype = np.dtype(mlp.dtype) if mlp.dtype else np.result_type(inputs.X.dtype, mlp.coefs_[0].dtype)
    params = pack(mlp.coefs_, mlp.intercepts_, dtype)
    n_rows = inputs.X.shape[0]
    backend = choose_backend(mlp.backend, inputs.on_device, 2.0 * n_rows * len(params))
    population = Population(architecture, backend.to_device(params[None, :]), np.zeros(1, np.uint64), backend)
    pieces = []
    for piece in _pieces(inputs):
        table = piece.dense(dtype)
        if piece.on_device and backend.name == "numpy":
            table = get_backend("cupy").to_host(table)
        Y = population.predict(backend.to_device(table, dtype), engine="auto")[0]
        pieces.append(Y if inputs.on_device else backend.to_host(Y))
    found = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)  # sparse rows alone come in pieces
    if inputs.on_device and backend.name == "numpy":
        found = get_backend("cupy").to_device(found)
    return found, inputs.on_device


def _pieces(inputs: Inputs) -> list[Inputs]:
    """Sparse rows a few thousand at a time, any other table whole."""
    if not inputs.is_sparse or inputs.X.shape[0] <= SPARSE_ROWS:
        return [inputs]
    rows = inputs.X.tocsr()
    return [Inputs(rows[i : i + SPARSE_ROWS], False) for i in range(0, rows.shape[0], SPARSE_ROWS)]
