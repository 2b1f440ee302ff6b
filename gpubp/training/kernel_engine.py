"""Engines that train whole epochs in one call of a compiled kernel: what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gpubp.backends import Array, Program
from gpubp.kernels.lane import pack_hyperparameters
from gpubp.sampling import RowSets, runs
from gpubp.training.engine import Work, total_weights
from gpubp.training.interruption import Interruption

PADDING = 16  # networks beside the last that a CPU lane group may read the rows of


@dataclass(frozen=True)
class Run:
    """Neighbouring networks with the same number of rows, and of validation rows: one launch."""

    first: int
    last: int
    n_rows: int
    n_held: int
    steps: int


class KernelEngine:
    """What the engines with native kernels share: tables on the device, orders, epochs in calls, compaction."""

    name: str
    entry: str  # the kernel's function

    def __init__(self, work: Work, params: Array, program: Program, slots: int) -> None:
        """params (P, K), C-contiguous, is trained in place; slots: optimizer state arrays of the same shape."""
        self.backend, self.params, self.program = work.backend, params, program
        xp = self.backend.xp
        self.slots = [xp.zeros_like(params) for _ in range(slots)]
        self.table = self._table(work, work.T)
        self.held_table = self.table if work.T_held is work.T else self._table(work, work.T_held)
        self._lay_out(work)

    def _table(self, work: Work, T: np.ndarray) -> Array:
        """(N, I + O [+ 1]): inputs, targets and weight of a row side by side, where a lane finds them with one step."""
        columns = [work.X, T]
        if work.weights is not None and work.weights.ndim == 1:
            columns.append(work.weights[:, None])
        return self.backend.to_device(np.concatenate(columns, axis=1), work.dtype)

    def _lay_out(self, work: Work) -> None:
        """Everything that follows from which networks are in."""
        to_device, xp = self.backend.to_device, self.backend.xp
        self.work = work
        self.hyper = to_device(pack_hyperparameters(work.hyper, work.dtype))
        self.order, self.order_stride = self._side_by_side(work.rows)
        self.held: Array | None = None
        self.held_stride = 0
        n_held = np.zeros(work.n_networks, dtype=np.int64)
        if work.held is not None:
            self.held, self.held_stride = self._side_by_side(work.held)
            n_held = work.held.count
        self.weights = None
        if work.weights is not None and work.weights.ndim == 2:
            self.weights = to_device(work.weights, work.dtype)
        self.seed_low = to_device((work.seeds & np.uint64(0xFFFFFFFF)).astype(np.uint32))
        self.seed_high = to_device((work.seeds >> np.uint64(32)).astype(np.uint32))
        self.spread = None if work.spread is None else to_device(work.spread, work.dtype)
        self.denominator = to_device(work.total_weight)
        self.held_weight = None if work.held is None else to_device(total_weights(work.weights, work.held))
        pairs = work.rows.count * (int(n_held.max()) + 1) + n_held
        self.runs = [
            Run(first, last, int(work.rows.count[first]), int(n_held[first]), int(work.steps[first]))
            for first, last in runs(pairs)
        ]
        self.calls = [(run, piece) for run in self.runs for piece in self.program.pieces(run.first, run.last)]
        self.shuffled = [
            xp.empty((run.n_rows, self.program.columns(*piece)), dtype=np.int32) if work.settings.shuffle else None
            for run, piece in self.calls
        ]

    def _side_by_side(self, rows: RowSets) -> tuple[Array, int]:
        """Row numbers (L, P + padding) int32 and its stride; (L,) and 0 where the networks share them."""
        if rows.shared:
            return self.backend.to_device(rows.index[0].astype(np.int32)), 0
        padded = np.zeros((rows.index.shape[1], len(rows.index) + PADDING), dtype=np.int32)
        padded[:, : len(rows.index)] = rows.index.T
        return self.backend.to_device(padded), padded.shape[1]

    def run(self, epoch: int, n_epochs: int, interruption: Interruption) -> tuple[Array, int]:
        xp, work = self.backend.xp, self.work
        sums = xp.zeros((3, n_epochs, work.n_networks), dtype=work.dtype)
        factors = {run: self._factors(run, epoch, n_epochs) for run in self.runs}
        calls = [
            self._arguments(run, piece, shuffled, epoch, n_epochs, factors[run], sums)
            for (run, piece), shuffled in zip(self.calls, self.shuffled, strict=True)
        ]
        self._launch(calls)
        metrics = sums.astype(np.float64)
        metrics[0] /= self.denominator
        if self.held_weight is None:
            metrics[1:] = np.nan
        else:
            metrics[1] /= self.held_weight
            if self.spread is None:
                metrics[2] /= self.held_weight
        return metrics, 0

    def _launch(self, calls: list[list[Any]]) -> None:
        self.program.launch(self.entry, calls)

    def _factors(self, run: Run, epoch: int, n_epochs: int) -> Array | None:
        """(n_epochs · steps,): what the schedule multiplies the rate by at every update; None where that is 1."""
        settings = self.work.settings
        if settings.schedule == "constant":
            return None
        step = np.arange(run.steps) / run.steps
        moment = (epoch + np.arange(n_epochs)[:, None] + step).reshape(-1, 1)
        factor = settings.schedule_rule.factor(
            np, moment, np.array([float(run.n_rows)]), settings.epochs, settings.all_schedule_options()
        )
        return self.backend.to_device(factor[:, 0], self.work.dtype)

    def _arguments(
        self,
        run: Run,
        piece: tuple[int, int],
        shuffled: Array | None,
        epoch: int,
        n_epochs: int,
        factors: Array | None,
        sums: Array,
    ) -> list[Any]:
        """One call's arguments, in the order of the kernel's parameters."""
        raise NotImplementedError

    def compact(self, keep: np.ndarray) -> None:
        on_device = self.backend.to_device(keep)
        self.params = self.params[on_device]
        self.slots = [slot[on_device] for slot in self.slots]
        self._lay_out(self.work.networks(keep))

    def wait(self) -> None:
        self.backend.synchronize()
