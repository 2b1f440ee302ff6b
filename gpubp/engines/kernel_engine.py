"""Engines that train whole epochs in one call of a compiled kernel: what they have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpubp.backends import Array, Program
from gpubp.backends.interruption import Interruption
from gpubp.engines.arguments import pack_hyperparameters, split_seeds
from gpubp.networks.plan import MOST_UPDATES, Work, total_weights
from gpubp.networks.sampling import RowSets, runs
from gpubp.operations.dropout import thresholds

PIECE_BYTES = 16  # a row of the table has so many, or a multiple
PADDING = 16  # networks beside the last that a CPU lane group may read the rows of


@dataclass(frozen=True)
class Run:
    """Neighbouring networks with the same number of rows, validation rows and updates so far: one launch."""

    first: int
    last: int
    n_rows: int
    n_held: int
    updates: int  # done before this training
    steps: int  # of an epoch

    def first_update(self, epochs: int) -> int:
        """How many updates were done before an epoch, `epochs` of this training being done; Adam's t.

        Cut, for the kernel takes an int.
        """
        return min(self.updates + epochs * self.steps, MOST_UPDATES)


class KernelEngine:
    """What the engines with native kernels share: tables on the device, orders, epochs in calls, compaction."""

    name: str
    entry: str  # the kernel's function
    buffers: Any = None

    def __init__(self, work: Work, params: Array, program: Program) -> None:
        """params (P, K), C-contiguous, is trained in place."""
        self.backend, self.params, self.program = work.backend, params, program
        self.slots = {
            name: self.backend.to_device(work.slots[name].astype(work.dtype))
            if name in work.slots
            else self.backend.xp.zeros_like(params)
            for name in work.settings.optimizer_rule.arrays
        }
        self.table = self._table(work, work.T)
        self.held_table = self.table if work.T_held is work.T else self._table(work, work.T_held)
        self.shared_order = work.rows.shared  # which a lane kernel is compiled for, however many networks are left
        self._lay_out(replace(work, slots={}))

    def _table(self, work: Work, T: np.ndarray) -> Array:
        """(N, I + O [+ 1] [+ padding]): inputs, targets and weight of a row side by side, in pieces of 16 bytes, which
        a lane loads at a time.
        """
        columns = [work.X, T]
        if work.weights is not None and work.weights.ndim == 1:
            columns.append(work.weights[:, None])
        width = sum(column.shape[1] for column in columns)
        columns.append(np.zeros((len(T), -width % (PIECE_BYTES // work.dtype.itemsize)), dtype=work.dtype))
        if not isinstance(work.X, np.ndarray):
            columns = [self.backend.to_device(column, work.dtype) for column in columns]
            return self.backend.xp.concatenate(columns, axis=1)
        return self.backend.to_device(np.concatenate(columns, axis=1), work.dtype)

    def _lay_out(self, work: Work) -> None:
        """Everything that follows from which networks are in."""
        to_device, xp = self.backend.to_device, self.backend.xp
        self.work = work
        self.hyper = to_device(pack_hyperparameters(work.hyper, work.dtype))
        self.order, self.order_stride = self._side_by_side(work.rows, self.shared_order)
        self.held: Array | None = None
        self.held_stride = 0
        n_held = np.zeros(work.n_networks, dtype=np.int64)
        if work.held is not None:
            self.held, self.held_stride = self._side_by_side(work.held, work.held.shared)
            n_held = work.held.count
        self.weights = None
        if work.weights is not None and work.weights.ndim == 2:
            self.weights = to_device(work.weights, work.dtype)
        self.seed_low, self.seed_high = split_seeds(self.backend, work.seeds)
        self.drop_below: Array | None = None
        self.drop_scale: Array | None = None
        if work.dropout is not None:  # (hidden layers, P)
            shares = np.ascontiguousarray(work.dropout.T)
            self.drop_below = to_device(thresholds(shares))
            self.drop_scale = to_device(1.0 / (1.0 - shares), work.dtype)
        self.spread = None if work.spread is None else to_device(work.spread, work.dtype)
        self.denominator = to_device(work.total_weight)
        self.held_weight = None if work.held is None else to_device(total_weights(work.weights, work.held))
        alike = np.stack([work.rows.count, n_held, work.updates])
        self.runs = [
            Run(first, last, *(int(number) for number in (*alike[:, first], work.steps[first])))
            for first, last in runs(alike)
        ]
        self.calls = [(run, piece) for run in self.runs for piece in self.program.pieces(run.first, run.last)]
        self.shuffled = [
            xp.empty((run.n_rows, self.program.columns(*piece)), dtype=np.int32) if work.settings.shuffle else None
            for run, piece in self.calls
        ]

    def _side_by_side(self, rows: RowSets, shared: bool) -> tuple[Array, int]:
        """Row numbers (L, P + padding) int32 and its stride; (L,) and 0 where the networks share them."""
        if shared:
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
        if not settings.varies_rate:
            return None
        step = np.arange(run.steps) / run.steps
        moment = (epoch + np.arange(n_epochs)[:, None] + step).reshape(-1, 1)
        factor = settings.schedule_rule.factor(
            np, moment, np.array([float(run.n_rows)]), self.work.n_epochs, settings.all_schedule_options()
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
        self.slots = {name: slot[on_device] for name, slot in self.slots.items()}
        self._lay_out(self.work.networks(keep))

    def set_rates(self, rates: np.ndarray) -> None:
        hyper = self.work.hyper | {"rate": rates}
        self.work = replace(self.work, hyper=hyper)
        self.hyper = self.backend.to_device(pack_hyperparameters(hyper, self.work.dtype))

    def slots_on_host(self) -> dict[str, np.ndarray]:
        return {name: self.backend.to_host(slot) for name, slot in self.slots.items()}

    def wait(self) -> None:
        self.backend.synchronize()
