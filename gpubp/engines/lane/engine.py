"""The lane engine: tiny networks, one in each SIMD lane or CUDA thread (engines/lane/lane.h)."""

from __future__ import annotations

from typing import Any

from gpubp.backends import Array, Program
from gpubp.engines.kernel_engine import KernelEngine, Run
from gpubp.engines.lane.kernel import NARROW_BYTES, LaneKernel
from gpubp.networks.plan import Work


def lane_kernel(work: Work) -> LaneKernel:
    """The kernel that this work needs."""
    settings = work.settings
    return LaneKernel(
        architecture=work.architecture,
        dtype=work.dtype.name,
        loss=settings.loss,
        optimizer=settings.optimizer,
        online=work.batch_size == 1,
        l2=bool(work.hyper["l2"].any()),
        clip=settings.clip_norm is not None,
        validation=work.held is not None,
        weights=0 if work.weights is None else work.weights.ndim,
        shuffle=settings.shuffle,
        dropout=work.dropout is not None,
        shared_order=work.rows.shared,
        narrow=work.backend.name == "numpy" and work.n_networks * work.dtype.itemsize <= NARROW_BYTES,
    )


class LaneEngine(KernelEngine):
    name = "lane"
    entry = "lane_train"

    def __init__(self, work: Work, params: Array, program: Program | None = None) -> None:
        """params (P, K), C-contiguous, is trained in place. program: a compiled kernel to use instead of the usual."""
        kernel = lane_kernel(work)
        program = program or work.backend.compile(kernel.source, kernel.definitions())
        super().__init__(work, params, program)

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
        slot_a, slot_b = [*self.slots.values(), None, None][:2]
        return [
            self.params,
            slot_a,
            slot_b,
            self.hyper,
            self.work.n_networks,
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
            min(self.work.batch_size, run.n_rows),
            epoch,
            run.first_update(epoch - self.work.first_epoch),
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
