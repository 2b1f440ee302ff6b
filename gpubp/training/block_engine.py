"""The block engine: small and middle networks, one on each core or in each CUDA block (kernels/native/block.h)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubp.backends import Array, Program
from gpubp.kernels.block import BlockKernel, memory_numbers, shape_numbers
from gpubp.training.engine import Work
from gpubp.training.kernel_engine import KernelEngine, Run

# An update of fewer operations takes less than about 200 microseconds: threads that share it would mostly wait.
TEAM_OPERATIONS = 2e7


def operations(work: Work) -> float:
    """Of a network's update: for each row and parameter a multiply-add forward, and two backward."""
    return 6.0 * work.architecture.n_parameters * work.batch_size


class BlockEngine(KernelEngine):
    name = "block"
    entry = "block_train"

    def __init__(self, work: Work, params: Array, program: Program | None = None) -> None:
        """params (P, K), C-contiguous, is trained in place. program: a compiled kernel to use instead of the usual."""
        settings = work.settings
        kernel = BlockKernel(work.dtype.name, settings.loss, settings.optimizer)
        program = program or work.backend.compile(kernel.source, kernel.definitions())
        self.shape = work.backend.to_device(shape_numbers(work.architecture))
        self.inputs = work.backend.to_device(work.X, work.dtype)
        super().__init__(work, params, program)

    def _table(self, work: Work, T: np.ndarray) -> Array:
        """The targets (N, O) alone: the inputs are taken from where they are."""
        return self.backend.to_device(T, work.dtype)

    def _lay_out(self, work: Work) -> None:
        super()._lay_out(work)
        if work.weights is not None and self.weights is None:
            self.weights = self.backend.to_device(work.weights, work.dtype)
        self.members = self.program.team(work.n_networks) if operations(work) > TEAM_OPERATIONS else 1
        settings, xp = work.settings, self.backend.xp
        self.numbers = memory_numbers(
            work.architecture,
            work.batch_size,
            len(settings.optimizer_rule.arrays),
            dropout=work.dropout is not None,
            clips=settings.clip_norm is not None,
            members=self.members if self.backend.name == "numpy" else None,
        )
        self.shared_numbers = min(self.numbers, self.program.shared_room() // work.dtype.itemsize)
        self.memory = {
            piece: xp.empty((self.program.columns(*piece), self.numbers), dtype=work.dtype) for _, piece in self.calls
        }

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
        work = self.work
        return [
            self.shape,
            self.params,
            slot_a,
            slot_b,
            self.hyper,
            work.n_networks,
            self.inputs,
            self.table,
            self.weights,
            0 if work.weights is None or work.weights.ndim == 1 else work.weights.shape[1],
            self.order,
            self.order_stride,
            self.seed_low,
            self.seed_high,
            shuffled,
            0 if shuffled is None else shuffled.shape[1],
            run.n_rows,
            min(work.batch_size, run.n_rows),
            epoch,
            run.first_update(epoch - work.first_epoch),
            n_epochs,
            factors,
            self.held,
            self.held_stride,
            run.n_held,
            self.held_table,
            self.spread,
            self.drop_below,
            self.drop_scale,
            int(np.any(work.hyper["l2"])),
            int(work.settings.clip_norm is not None),
            sums[0],
            sums[1],
            sums[2],
            self.memory[piece],
            self.numbers,
            self.shared_numbers,
            None,  # `_launch` fills in the team
            0,
            1,
            *piece,
        ]

    def _launch(self, calls: list[list[Any]]) -> None:
        if self.members == 1:
            self.program.launch(self.entry, calls, shared_bytes=self.shared_numbers * self.work.dtype.itemsize)
            return
        for call in calls:
            meeting = self.backend.xp.zeros(2, dtype=np.int32)
            team = [[*call[:-5], meeting, member, self.members, *call[-2:]] for member in range(self.members)]
            self.program.launch(self.entry, team, together=True)
