"""The first weights of a population's networks: drawn by their seeds, and fitted to their rows where that is asked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.errors import DataError
from gpubp.networks.sampling import Rows, RowSets
from gpubp.networks.settings import PerNetwork, per_network
from gpubp.operations.architecture import Architecture
from gpubp.operations.initializers import Draw
from gpubp.operations.network import initial_parameters, needs_rows
from gpubp.operations.permutation import permutation
from gpubp.operations.philox import Stream

SAMPLE = 512  # rows that an initializer looks at: their standard deviations are those of all within some 3 %
AT_ONCE = 1 << 23  # numbers of networks whose weights are fitted together


def first_parameters(
    architecture: Architecture,
    seeds: np.ndarray,
    backend: Backend,
    initializer: str | Draw = "auto",
    zero_last_layer: bool = False,
    X: Array | None = None,
    rows: Rows = None,
    options: Mapping[str, PerNetwork] | None = None,
) -> np.ndarray:
    """(P, K) float64 on the host for seeds (P,) uint64.

    X (N, I), on the host or the backend, and rows, as in `train`, matter to an initializer that looks at them: at 512
    of each network's, drawn by its seed, or at all if there are fewer. options: the layers', as `Settings` has them.
    DataError where X is not the network's.
    """
    if X is None or not needs_rows(initializer):
        params = initial_parameters(architecture, seeds, initializer, options=options)
    else:
        if X.ndim != 2 or X.shape[1] != architecture.n_inputs or len(X) == 0:
            raise DataError(
                f"X has shape {tuple(X.shape)}: this network needs (rows, {architecture.n_inputs}), at least one row."
            )
        params = np.empty((len(seeds), architecture.n_parameters))
        each = {name: per_network(name, value, len(seeds)) for name, value in (options or {}).items()}
        sets = RowSets.of(rows, len(seeds), len(X))
        for count in np.unique(sets.count):
            alike = np.flatnonzero(sets.count == count)
            numbers = min(int(count), SAMPLE) * (architecture.n_inputs + architecture.n_values)
            step = max(1, AT_ONCE // numbers)
            for first in range(0, len(alike), step):
                chosen = alike[first : first + step]
                sample = _sample(backend, X, sets.networks(chosen), seeds[chosen])
                own = {name: values[chosen] for name, values in each.items()}
                params[chosen] = initial_parameters(architecture, seeds[chosen], initializer, sample, own)
    if zero_last_layer:
        params[:, -architecture.dense[-1].n_parameters :] = 0.0
    return params


def _sample(backend: Backend, X: Array, rows: RowSets, seeds: np.ndarray) -> np.ndarray:
    """(P, at most 512, I) float64 on the host: rows of networks that have equally many."""
    count = int(rows.count[0])
    if count <= SAMPLE:
        index = np.broadcast_to(rows.index[:, :count], (len(seeds), count))
    else:
        counts = rows.count.astype(np.uint64)
        places = permutation(np, seeds, counts, range(SAMPLE), 0, Stream.INITIAL_ROWS)
        index = rows.index[0][places] if rows.shared else np.take_along_axis(rows.index, places, axis=1)
    taken = X[index] if isinstance(X, np.ndarray) else backend.to_host(X[backend.to_device(index)])
    sample = np.asarray(taken, dtype=np.float64)
    if not np.isfinite(sample).all():
        raise DataError("X has numbers that are not finite: training needs finite numbers.")
    return sample
