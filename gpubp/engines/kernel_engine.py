"""Engines that train whole epochs in one call of a compiled kernel: what they have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpubp.backends import Array, Program
from gpubp.backends.interruption import Interruption
from gpubp.engines.arguments import (
    Entry,
    LaunchList,
    named_state,
    optimizer_state,
    pack_hyperparameters,
    split_seeds,
)
from gpubp.networks.plan import MOST_UPDATES, TrainingPlan, total_weights
from gpubp.networks.sampling import RowSets, runs
from gpubp.operations.dropout import thresholds

PIECE_BYTES = 16  # a row of the table has so many, or a multiple
FACTORS = {"rate": "factors", "decay": "decay_factors", "smoothing": "smoothing_factors"}
"""The kernels' arguments that hold a schedule's factors, by what they multiply."""
PADDING = 16  # networks beside the last that a CPU lane group may read the rows of


@dataclass(frozen=True)
class NetworkGroup:
    """Neighbouring networks with the same number of rows, validation rows and updates so far: one launch."""

    first: int
    last: int
    n_rows: int
    n_validation: int
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
    entry: Entry  # the kernel that trains
    buffers: Any = None

    def __init__(self, plan: TrainingPlan, params: Array, program: Program) -> None:
        """params (P, K), C-contiguous, is trained in place."""
        self.backend, self.params, self.program = plan.backend, params, program
        self.slots = optimizer_state(plan, params)
        self.table = self._table(plan, plan.T)
        self.validation_table = self.table if plan.T_validation is plan.T else self._table(plan, plan.T_validation)
        self.shared_order = plan.rows.shared  # which a lane kernel is compiled for, however many networks are left
        self._lay_out(replace(plan, slots={}))

    def _table(self, plan: TrainingPlan, T: np.ndarray) -> Array:
        """(N, I + O [+ 1] [+ padding]): inputs, targets and weight of a row side by side, in pieces of 16 bytes, which
        a lane loads at a time.
        """
        columns = [plan.X, T]
        if plan.weights is not None and plan.weights.ndim == 1:
            columns.append(plan.weights[:, None])
        width = sum(column.shape[1] for column in columns)
        columns.append(np.zeros((len(T), -width % (PIECE_BYTES // plan.dtype.itemsize)), dtype=plan.dtype))
        if not isinstance(plan.X, np.ndarray):
            columns = [self.backend.to_device(column, plan.dtype) for column in columns]
            return self.backend.xp.concatenate(columns, axis=1)
        return self.backend.to_device(np.concatenate(columns, axis=1), plan.dtype)

    def _lay_out(self, plan: TrainingPlan) -> None:
        """Everything that follows from which networks are in."""
        to_device, xp = self.backend.to_device, self.backend.xp
        self.plan = plan
        self.hyper = to_device(pack_hyperparameters(plan.hyper, plan.dtype))
        order, order_stride = self._side_by_side(plan.rows, self.shared_order)
        validation, validation_stride, n_validation = None, 0, np.zeros(plan.n_networks, dtype=np.int64)
        self.validation_weight: Array | None = None
        if plan.validation is not None:
            validation, validation_stride = self._side_by_side(plan.validation, plan.validation.shared)
            self.validation_weight = to_device(total_weights(plan.weights, plan.validation))
            n_validation = plan.validation.count
        weights = self._row_weights(plan)
        seed_low, seed_high = split_seeds(self.backend, plan.seeds)
        smoothing = plan.smoothing
        self.spread = None if plan.spread is None else to_device(plan.spread, plan.dtype)
        self.denominator = to_device(plan.total_weight)
        sizes = {"P": plan.n_networks, "K": plan.architecture.n_parameters, "O": plan.architecture.n_outputs}
        sizes["SLOTS"] = len(plan.settings.state_arrays)
        self.arguments = LaunchList(self.entry, plan.dtype, **sizes)
        self.arguments.keep({
            "params": self.params,
            "slots_spk": self.slots,
            "hyper": self.hyper,
            "n_networks": plan.n_networks,
            "weights": weights,
            "weights_stride": weights.shape[1] if weights is not None and weights.ndim == 2 else 0,
            "order": order,
            "order_stride": order_stride,
            "seed_low": seed_low,
            "seed_high": seed_high,
            "validation": validation,
            "validation_stride": validation_stride,
            "spread": self.spread,
            "smooth_hit": None if smoothing is None else to_device(smoothing.hit, plan.dtype),
            "smooth_miss": None if smoothing is None else to_device(smoothing.miss, plan.dtype),
        })  # fmt: skip
        if not plan.varies("dropout"):
            self.arguments.keep(self._dropout(0, 1))
        alike = np.stack([plan.rows.count, n_validation, plan.updates])
        self.runs = [
            NetworkGroup(first, last, *(int(number) for number in (*alike[:, first], plan.steps[first])))
            for first, last in runs(alike)
        ]
        self.calls = [(run, piece) for run in self.runs for piece in self.program.pieces(run.first, run.last)]
        self.shuffled = [
            xp.empty((run.n_rows, self.program.columns(*piece)), dtype=np.int32) if plan.settings.shuffle else None
            for run, piece in self.calls
        ]

    def _dropout(self, epoch: int, n_epochs: int) -> dict[str, Any]:
        """The arguments of so many epochs."""
        plan, to_device = self.plan, self.backend.to_device
        if plan.dropout is None:
            return {"drop_below": None, "drop_scale": None, "drop_stride": 0}
        shares = np.ascontiguousarray(plan.dropout_shares(epoch, n_epochs).swapaxes(1, 2))  # (E, hidden layers, P)
        return {
            "drop_below": to_device(thresholds(shares)),
            "drop_scale": to_device(1.0 / (1.0 - shares), plan.dtype),
            "drop_stride": shares[0].size if plan.varies("dropout") else 0,
        }

    def _row_weights(self, plan: TrainingPlan) -> Array | None:
        """Those that the kernel takes apart from its table: (P, N) where each network has its own."""
        own = plan.weights is not None and plan.weights.ndim == 2
        return self.backend.to_device(plan.weights, plan.dtype) if own else None

    def _side_by_side(self, rows: RowSets, shared: bool) -> tuple[Array, int]:
        """Row numbers (L, P + padding) int32 and its stride; (L,) and 0 where the networks share them."""
        if shared:
            return self.backend.to_device(rows.index[0].astype(np.int32)), 0
        padded = np.zeros((rows.index.shape[1], len(rows.index) + PADDING), dtype=np.int32)
        padded[:, : len(rows.index)] = rows.index.T
        return self.backend.to_device(padded), padded.shape[1]

    def run(self, epoch: int, n_epochs: int, interruption: Interruption) -> tuple[Array, int]:
        xp, plan = self.backend.xp, self.plan
        sums = xp.zeros((3, n_epochs, plan.n_networks), dtype=plan.dtype)
        factors = {
            run: {name: self._factors(what, run, epoch, n_epochs) for what, name in FACTORS.items()}
            for run in self.runs
        }
        dropout = self._dropout(epoch, n_epochs) if plan.varies("dropout") else {}
        calls = []
        for (run, piece), shuffled in zip(self.calls, self.shuffled, strict=True):
            calls.append(
                self.arguments.call({
                    "shuffled": shuffled,
                    "shuffled_stride": 0 if shuffled is None else shuffled.shape[1],
                    "n_rows": run.n_rows,
                    "batch": min(plan.batch_size, run.n_rows),
                    "first_epoch": epoch,
                    "first_update": run.first_update(epoch - plan.first_epoch),
                    "n_epochs": n_epochs,
                    "n_validation": run.n_validation,
                    "losses": sums[0],
                    "validation_losses": sums[1],
                    "validation_scores": sums[2],
                    "first": piece[0],
                    "last": piece[1],
                } | factors[run] | dropout | self._own_arguments(piece))
            )  # fmt: skip
        self._launch(calls)
        metrics = sums.astype(np.float64)
        metrics[0] /= self.denominator
        if self.validation_weight is None:
            metrics[1:] = np.nan
        else:
            metrics[1] /= self.validation_weight
            if self.spread is None:
                metrics[2] /= self.validation_weight
        return metrics, 0

    def _launch(self, calls: list[list[Any]]) -> None:
        self.program.launch(self.entry.name, calls)

    def _factors(self, what: str, run: NetworkGroup, epoch: int, n_epochs: int) -> Array | None:
        """(n_epochs · steps,): what a schedule multiplies by at every update; None where that is 1."""
        if not self.plan.varies(what):
            return None
        step = np.arange(run.steps) / run.steps
        moment = (epoch + np.arange(n_epochs)[:, None] + step).reshape(-1, 1)
        n_rows = np.array([float(run.n_rows)])
        factor = self.plan.settings.factor(what, np, moment, n_rows, self.plan.n_epochs)
        return self.backend.to_device(factor[:, 0], self.plan.dtype)

    def _own_arguments(self, piece: tuple[int, int]) -> dict[str, Any]:
        """Arguments of this engine's kernel alone, for networks piece[0] … piece[1]−1."""
        return {}

    def compact(self, keep: np.ndarray) -> None:
        on_device = self.backend.to_device(keep)
        self.params = self.params[on_device]
        if self.slots is not None:
            self.slots = self.backend.xp.ascontiguousarray(self.slots[:, on_device])
        self._lay_out(self.plan.networks(keep))

    def set_rates(self, rates: np.ndarray) -> None:
        hyper = self.plan.hyper | {"rate": rates}
        self.plan = replace(self.plan, hyper=hyper)
        self.hyper = self.backend.to_device(pack_hyperparameters(hyper, self.plan.dtype))
        self.arguments.keep({"hyper": self.hyper})

    def slots_on_host(self) -> dict[str, np.ndarray]:
        named = named_state(self.plan.settings, self.slots)
        return {name: self.backend.to_host(slot) for name, slot in named.items()}

    def wait(self) -> None:
        self.backend.synchronize()


def softmax_refusal(plan: TrainingPlan) -> str | None:
    """Why no native kernel trains these networks; None if they do. Softmax outputs are for cross-entropy alone."""
    if plan.settings.loss_function.link is None and plan.architecture.output_activation == "softmax":
        return f"its kernel knows no {plan.settings.loss} of softmax outputs"
    return None
