"""The lane engine: tiny networks, one in each SIMD lane or CUDA thread (engines/lane/lane.h)."""

from __future__ import annotations

from typing import Any

from gpubp.backends import Array, Program
from gpubp.engines.kernel_engine import KernelEngine, NetworkGroup
from gpubp.engines.lane.kernel import NARROW_BYTES, LaneKernel
from gpubp.networks.plan import TrainingPlan


def lane_kernel(plan: TrainingPlan) -> LaneKernel:
    """The kernel that this plan needs."""
    settings = plan.settings
    return LaneKernel(
        architecture=plan.architecture,
        dtype=plan.dtype.name,
        loss=settings.loss,
        optimizer=settings.optimizer,
        online=plan.batch_size == 1,
        l2=bool(plan.hyper["l2"].any()),
        clip=settings.clip_norm is not None,
        validation=plan.held is not None,
        weights=0 if plan.weights is None else plan.weights.ndim,
        shuffle=settings.shuffle,
        dropout=plan.dropout is not None,
        shared_order=plan.rows.shared,
        narrow=not plan.backend.lanes_in_registers and plan.n_networks * plan.dtype.itemsize <= NARROW_BYTES,
    )


class LaneEngine(KernelEngine):
    name = "lane"
    entry = "lane_train"

    def __init__(self, plan: TrainingPlan, params: Array, program: Program | None = None) -> None:
        """params (P, K), C-contiguous, is trained in place. program: a compiled kernel to use instead of the usual."""
        kernel = lane_kernel(plan)
        program = program or plan.backend.compile(kernel.source, kernel.definitions())
        super().__init__(plan, params, program)

    def _arguments(
        self,
        run: NetworkGroup,
        piece: tuple[int, int],
        shuffled: Array | None,
        epoch: int,
        n_epochs: int,
        factors: Array | None,
        sums: Array,
    ) -> list[Any]:
        return [
            self.params,
            self.slots,
            self.hyper,
            self.plan.n_networks,
            self.table,
            self.table.shape[1],
            self.weights,
            0 if self.weights is None else self.weights.shape[1],
            self.order,
            self.order_stride,
            self.seed_low,
            self.seed_high,
            shuffled,
            0 if shuffled is None else shuffled.shape[1],
            run.n_rows,
            min(self.plan.batch_size, run.n_rows),
            epoch,
            run.first_update(epoch - self.plan.first_epoch),
            n_epochs,
            factors,
            self.held,
            self.held_stride,
            run.n_held,
            self.held_table,
            self.spread,
            self.drop_below,
            self.drop_scale,
            sums[0],
            sums[1],
            sums[2],
            *piece,
        ]
