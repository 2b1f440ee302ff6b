"""The lane engine: tiny networks, one in each SIMD lane or CUDA thread (engines/lane/lane.h)."""

from __future__ import annotations

from gpubp.backends import Array, Program
from gpubp.engines.kernel_engine import KernelEngine
from gpubp.engines.lane.arguments import TRAIN
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
        averages=settings.average is not None,
        online=plan.batch_size == 1,
        l2=bool(plan.hyper["l2"].any()),
        clip=settings.clip_norm is not None,
        validation=plan.validation is not None,
        weights=0 if plan.weights is None else plan.weights.ndim,
        shuffle=settings.shuffle,
        dropout=plan.dropout is not None,
        shared_order=plan.rows.shared,
        smoothing=plan.smoothing is not None,
        decay_varies=plan.varies("decay"),
        narrow=not plan.backend.lanes_in_registers and plan.n_networks * plan.dtype.itemsize <= NARROW_BYTES,
    )


class LaneEngine(KernelEngine):
    name = "lane"
    entry = TRAIN

    def __init__(self, plan: TrainingPlan, params: Array, program: Program | None = None) -> None:
        """params (P, K), C-contiguous, is trained in place. program: a compiled kernel to use instead of the usual."""
        kernel = lane_kernel(plan)
        program = program or plan.backend.compile(kernel.source, kernel.definitions())
        super().__init__(plan, params, program)

    def _lay_out(self, plan: TrainingPlan) -> None:
        super()._lay_out(plan)
        tables = {"table": self.table, "stride": self.table.shape[1], "validation_table": self.validation_table}
        self.arguments.keep(tables)
