"""The block engine: small and middle networks, one on each core or in each CUDA block (kernels/native/block.h)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpubp.backends import Array, Program
from gpubp.kernels.block import BlockKernel, memory_numbers, shape_numbers
from gpubp.training.engine import Work
from gpubp.training.kernel_engine import KernelEngine, Run


class BlockEngine(KernelEngine):
    name = "block"
    entry = "block_train"

    def __init__(self, work: Work, params: Array, program: Program | None = None) -> None:
        """params (P, K), C-contiguous, is trained in place. program: a compiled kernel to use instead of the usual."""
        settings = work.settings
        kernel = BlockKernel(work.dtype.name, settings.loss, settings.optimizer)
        program = program or work.backend.compile(kernel.source, kernel.definitions())
        self.shape = work.backend.to_device(shape_numbers(work.architecture))
        self.numbers = memory_numbers(work.architecture, work.batch_size, kernel.slots)
        super().__init__(work, params, program, kernel.slots)

    def _lay_out(self, work: Work) -> None:
        super()._lay_out(work)
        xp = self.backend.xp
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
        slot_a, slot_b = [*self.slots, None, None][:2]
        work, shuffles = self.work, self.work.settings.shuffle
        return [
            self.shape,
            self.params,
            slot_a,
            slot_b,
            self.hyper,
            work.n_networks,
            self.table,
            self.table.shape[1],
            0 if work.weights is None else work.weights.ndim,
            self.weights,
            0 if self.weights is None else self.weights.shape[1],
            self.order,
            self.order_stride,
            self.seed_low if shuffles else None,
            self.seed_high if shuffles else None,
            shuffled,
            0 if shuffled is None else shuffled.shape[1],
            run.n_rows,
            min(work.batch_size, run.n_rows),
            epoch,
            n_epochs,
            factors,
            self.held,
            self.held_stride,
            run.n_held,
            self.held_table,
            self.spread,
            int(np.any(work.hyper["l2"])),
            int(work.settings.clip_norm is not None),
            sums[0],
            sums[1],
            sums[2],
            self.memory[piece],
            self.numbers,
            None,
            0,
            1,
            *piece,
        ]
