"""An epoch's rows for large networks: gathered update by update, into buffers that stay in the caches.

An update of such networks takes milliseconds, so that a gathering for each costs little; the gathered rows of many
updates would be memory that is written, and read again, for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.engines.array.batches import Batch, Batches, DeviceTable
from gpubp.engines.array.buffers import Buffers
from gpubp.networks.sampling import RowSets, Step


class FusedBatches(Batches):
    """As `Batches`, but a batch is valid only until the next one is asked for. Its arrays are C-contiguous."""

    def __init__(
        self, backend: Backend, table: DeviceTable, rows: RowSets, seeds: np.ndarray, batch_size: int, shuffle: bool
    ) -> None:
        super().__init__(backend, table, rows, seeds, batch_size, shuffle)
        self.buffers = Buffers(backend, table.X.dtype)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        for places, steps in self.chunks:
            order = self._order(places, epoch)
            for step in steps:
                start = step.start - places.start
                own = order[..., start : start + step.size]
                yield self._batch(step, own if self.shared else own[step.first : step.last])

    def _batch(self, step: Step, order: Array) -> Batch:
        """order (P, B), or (B,) where the networks share the rows."""
        X, T = (self._rows(role, table, order) for role, table in (("X", self.table.X), ("T", self.table.T)))
        weights = self.table.weights
        if weights is not None:
            own = None if self.networks is None else self.networks[step.first : step.last]
            weights = weights[order] if own is None else weights[own, order]
        return Batch(step, X, T, weights[None] if weights is not None and self.shared else weights)

    def _rows(self, role: str, table: Array, order: Array) -> Array:
        rows = self.buffers.take(role, *order.shape, table.shape[1])
        self.backend.take_rows(table, order, out=rows)
        return rows
