"""An epoch's rows, laid out on the device in the order in which the networks take them.

Rows are gathered for many updates at once (a chunk), and the updates get views; with the given order and a table
that fits one chunk, nothing is gathered after the first epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.networks.sampling import RowSets, Step, epoch_steps
from gpubp.operations.permutation import permutation

CHUNK_BYTES = 32 << 20
AHEAD_NUMBERS = 4096  # places in the shuffles that are computed at a time
MOST_RESIDENT_BATCHES = 4096  # views take memory too


@dataclass(frozen=True)
class DeviceTable:
    """The training data on the device: X (N, I), T (N, O), row weights (N,), (P, N) or None."""

    X: Array
    T: Array
    weights: Array | None

    def networks(self, keep: Array) -> DeviceTable:
        """The table for the networks at the places `keep` (a device array of int64)."""
        if self.weights is None or self.weights.ndim == 1:
            return self
        return replace(self, weights=self.weights[keep])


@dataclass(frozen=True)
class Batch:
    """One update's rows: X (P, B, I) or, shared by all networks, (B, I); T and weights (P, B) likewise."""

    step: Step
    X: Array
    T: Array
    weights: Array | None


class Batches:
    """The batches of each epoch, for networks sorted by their number of rows, the most first."""

    def __init__(
        self, backend: Backend, table: DeviceTable, rows: RowSets, seeds: np.ndarray, batch_size: int, shuffle: bool
    ) -> None:
        self.backend, self.table, self.shuffle = backend, table, shuffle
        self.n_networks, self.n_rows = len(rows.count), int(rows.count[0])
        self.weights_each = table.weights is not None and table.weights.ndim == 2
        # Networks that take the same rows in the same order read one shared copy of them.
        self.shared = rows.shared and not shuffle and not self.weights_each
        self.seeds = backend.to_device(seeds) if shuffle else None
        self.count = backend.to_device(rows.count.astype(np.uint64)) if shuffle else None
        index = rows.index if rows.shared or not self.shared else rows.index[:1]
        self.index = backend.to_device(index)
        self.networks = backend.xp.arange(self.n_networks)[:, None] if self.weights_each else None

        steps = epoch_steps(rows.count, batch_size)
        copies = 1 if self.shared else self.n_networks
        row_bytes = copies * ((table.X.shape[1] + table.T.shape[1]) * table.X.dtype.itemsize + 8)
        self.chunk_rows = max(1, CHUNK_BYTES // (row_bytes * batch_size)) * batch_size
        self.chunks = [
            (
                range(start, min(start + self.chunk_rows, self.n_rows)),
                [step for step in steps if start <= step.start < start + self.chunk_rows],
            )
            for start in range(0, self.n_rows, self.chunk_rows)
        ]
        self.steps_per_epoch = steps[-1].number + 1
        self.stays = not shuffle and len(self.chunks) == 1 and len(steps) <= MOST_RESIDENT_BATCHES
        self.ahead: tuple[int, Array] | None = None  # an epoch, and the shuffles (epochs, P, rows) from it on
        self.resident: list[Batch] | None = None  # the batches of every epoch, where all are the same

    def epoch(self, epoch: int) -> Iterator[Batch]:
        if self.resident is not None:
            yield from self.resident
            return
        for places, steps in self.chunks:
            batches = self._cut(places, steps, *self._gather(places, epoch))
            if self.stays:
                batches = self.resident = list(batches)
            yield from batches

    def _cut(self, places: range, steps: list[Step], X: Array, T: Array, weights: Array | None) -> Iterable[Batch]:
        for step in steps:
            first, last, a = step.first, step.last, step.start - places.start
            b = a + step.size
            if self.shared:
                yield Batch(step, X[a:b], T[a:b], None if weights is None else weights[None, a:b])
            else:
                yield Batch(
                    step,
                    X[first:last, a:b],
                    T[first:last, a:b],
                    None if weights is None else weights[first:last, a:b],
                )

    def _gather(self, places: range, epoch: int) -> tuple[Array, Array, Array | None]:
        order = self._order(places, epoch)
        table, xp = self.table, self.backend.xp
        X = xp.empty((*order.shape, table.X.shape[1]), dtype=table.X.dtype)
        T = xp.empty((*order.shape, table.T.shape[1]), dtype=table.T.dtype)
        self.backend.take_rows(table.X, order, out=X)
        self.backend.take_rows(table.T, order, out=T)
        weights = None
        if table.weights is not None:
            weights = table.weights[self.networks, order] if self.weights_each else table.weights[order]
        return X, T, weights

    def _shuffled(self, places: range, epoch: int) -> Array:
        """(P, places): what stands at these places of each network's shuffle.

        For short epochs, those that follow are computed along with it: a call of NumPy takes longer than its numbers.
        """
        xp = self.backend.xp
        if self.ahead is None or not self.ahead[0] <= epoch < self.ahead[0] + len(self.ahead[1]):
            epochs = max(1, AHEAD_NUMBERS // (self.n_networks * self.n_rows)) if len(self.chunks) == 1 else 1
            if epochs == 1:
                return permutation(xp, self.seeds, self.count, places, epoch)
            shape = (epochs, self.n_networks)
            each = xp.broadcast_to(xp.arange(epoch, epoch + epochs, dtype=np.uint64)[:, None], shape)
            seeds, count = xp.broadcast_to(self.seeds, shape), xp.broadcast_to(self.count, shape)
            orders = permutation(xp, seeds.reshape(-1), count.reshape(-1), places, each.reshape(-1, 1))
            orders = orders.reshape(*shape, len(places))
            self.ahead = (epoch, orders)
        first, orders = self.ahead
        return orders[epoch - first]

    def _order(self, places: range, epoch: int) -> Array:
        """The rows at these places of the epoch: (P, places), or (places,) where the networks share them."""
        if not self.shuffle:
            given = self.index[:, places.start : places.stop]
            if self.shared:
                return given[0]
            return self.backend.xp.broadcast_to(given, (self.n_networks, len(places)))
        shuffled = self._shuffled(places, epoch)
        if self.index.shape[0] == 1:
            return self.index[0][shuffled]
        return self.backend.xp.take_along_axis(self.index, shuffled, axis=1)
