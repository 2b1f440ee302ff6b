"""Each network's loss and score on its validation rows."""

from __future__ import annotations

import numpy as np

from gpubp.backends import Array, Backend
from gpubp.engines.array.batches import DeviceTable
from gpubp.networks.sampling import RowSets, runs
from gpubp.operations.architecture import Architecture
from gpubp.operations.losses import Loss, Options
from gpubp.operations.network import Tape, row_losses_and_outputs

PIECE_ROWS = 1024  # fixed, so that sums are taken in the same order whatever the population's size
PIECE_BYTES = 64 << 20


class Validation:
    """Evaluates networks on the validation rows of each: the mean loss, and accuracy or R².

    Accuracy for losses with the link softmax (the largest output) and logistic (every label right at ½); for the
    others R², averaged over the outputs. Row weights count in both.
    """

    def __init__(
        self,
        backend: Backend,
        architecture: Architecture,
        loss: Loss,
        table: DeviceTable,
        rows: RowSets,
        spread: np.ndarray | None,
        options: Options,
    ) -> None:
        """spread (P, O): see `target_spread`; None for losses that are scored by accuracy. options: the loss's own,
        each (P, 1, 1).
        """
        self.backend, self.architecture, self.loss, self.table = backend, architecture, loss, table
        self.rows, self.host_spread, self.options = rows, spread, options
        self.spread = None if spread is None else backend.to_device(spread)
        row_bytes = (table.X.shape[1] + 3 * architecture.n_values) * table.X.dtype.itemsize
        at_once = max(1, PIECE_BYTES // (row_bytes * min(PIECE_ROWS, int(rows.count.max()))))
        # Neighbours with the same number of rows go together, as many as the memory for a piece allows.
        self.groups = [
            (start, min(start + at_once, last))
            for first, last in runs(rows.count)
            for start in range(first, last, at_once)
        ]
        self.index = backend.to_device(rows.index)
        self.tapes: dict[tuple[int, int], Tape] = {}

    def networks(self, keep: np.ndarray) -> Validation:
        """The validation of the networks at the places `keep` alone."""
        spread = None if self.host_spread is None else self.host_spread[keep]
        on_device = self.backend.to_device(keep)
        table, rows = self.table.networks(on_device), self.rows.networks(keep)
        options = {name: values[on_device] for name, values in self.options.items()}
        return Validation(self.backend, self.architecture, self.loss, table, rows, spread, options)

    def evaluate(self, params: Array) -> tuple[Array, Array]:
        """(mean loss (P,), score (P,)), both float64 on the device, for params (P, K)."""
        xp = self.backend.xp
        losses = xp.empty(len(params), dtype=np.float64)
        scores = xp.empty(len(params), dtype=np.float64)
        for first, last in self.groups:
            losses[first:last], scores[first:last] = self._group(params[first:last], first, last)
        return losses, scores

    def _group(self, params: Array, first: int, last: int) -> tuple[Array, Array]:
        xp, count = self.backend.xp, int(self.rows.count[first])
        views = self.architecture.views(params)
        options = {name: values[first:last] for name, values in self.options.items()}
        loss_sum = xp.zeros(last - first, dtype=np.float64)
        weight_sum = xp.zeros(last - first, dtype=np.float64)
        correct = xp.zeros(last - first, dtype=np.float64)
        residual = xp.zeros((last - first, self.architecture.n_outputs), dtype=np.float64)
        for start in range(0, count, PIECE_ROWS):
            X, T, weights = self._piece(first, last, start, min(start + PIECE_ROWS, count))
            tape = self._tape(last - first, T.shape[-2])
            row_loss, Y = row_losses_and_outputs(self.backend, self.architecture, self.loss, views, X, T, tape, options)
            w = xp.ones_like(row_loss) if weights is None else xp.broadcast_to(weights, row_loss.shape)
            loss_sum += (row_loss * w).sum(axis=1)
            weight_sum += w.sum(axis=1)
            if self.spread is None:
                correct += (self._right(Y, T) * w).sum(axis=1)
            else:
                residual += (xp.square(Y - T) * w[:, :, None]).sum(axis=1)
        loss = loss_sum / weight_sum
        if self.spread is None:
            return loss, correct / weight_sum
        return loss, self._r2(residual, self.spread[first:last])

    def _right(self, Y: Array, T: Array) -> Array:
        if self.loss.link == "softmax":
            return Y.argmax(axis=-1) == T.argmax(axis=-1)
        return ((Y > 0.5) == (T > 0.5)).all(axis=-1)

    def _r2(self, residual: Array, spread: Array) -> Array:
        """1 − Σ (y − t)² / Σ (t − t̄)²; an output whose targets are all alike counts 1 if hit exactly, else 0."""
        xp = self.backend.xp
        flat = spread == 0
        r2 = 1.0 - residual / xp.where(flat, 1.0, spread)
        return xp.where(flat, xp.where(residual == 0, 1.0, 0.0), r2).mean(axis=1)

    def _piece(self, first: int, last: int, start: int, stop: int) -> tuple[Array, Array, Array | None]:
        xp, table = self.backend.xp, self.table
        order = self.index[0, start:stop] if self.rows.shared else self.index[first:last, start:stop]
        X = xp.empty((*order.shape, table.X.shape[1]), dtype=table.X.dtype)
        T = xp.empty((*order.shape, table.T.shape[1]), dtype=table.T.dtype)
        self.backend.take_rows(table.X, order, out=X)
        self.backend.take_rows(table.T, order, out=T)
        if table.weights is None:
            return X, T, None
        if table.weights.ndim == 1:
            return X, T, table.weights[order]
        return X, T, table.weights[xp.arange(first, last)[:, None], xp.atleast_2d(order)]

    def _tape(self, n_networks: int, n_rows: int) -> Tape:
        key = (n_networks, n_rows)
        if key not in self.tapes:
            self.tapes[key] = Tape(self.backend, self.architecture, n_networks, n_rows, self.table.X.dtype)
        return self.tapes[key]
