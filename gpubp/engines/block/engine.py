"""The block engine: small and middle networks, one on each core or in each CUDA block (engines/block/block.h)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from gpubp.backends import Array, Program
from gpubp.backends.base import TooFewThreads
from gpubp.backends.host_program import others_waiting
from gpubp.backends.host_threads import tell_of_a_missing_team
from gpubp.backends.interruption import Interruption
from gpubp.engines.block.kernel import BlockKernel, memory_numbers, shape_numbers
from gpubp.engines.block.layout import BlockLayout, block_layout, team_blocks
from gpubp.engines.block.thread_tuner import Pace
from gpubp.engines.kernel_engine import KernelEngine, Run
from gpubp.networks.plan import Work

MEETING = 32  # numbers for a team to meet at (block_cpu.h)
# Of a network's update, for each thread of a team: of fewer, about 50 microseconds, threads would mostly wait for each
# other. Measured with two threads.
MEMBER_OPERATIONS = 5e6


def most_members(work: Work) -> int:
    """Of a team of threads that train one network, by the operations of an update: for each row and parameter a
    multiply-add forward, and two backward."""
    operations = 6.0 * work.architecture.n_parameters * work.batch_size
    return max(1, int(operations / MEMBER_OPERATIONS))


def cuda_layout(work: Work) -> BlockLayout:
    """By which a CUDA device trains the networks; the default where there is none."""
    device = work.backend.multiprocessors()
    if device is None:
        return BlockLayout()
    needed = working_numbers(work, None) * work.dtype.itemsize
    return block_layout(work.architecture, work.batch_size, work.n_networks, needed, device)


def working_numbers(work: Work, members: int | None) -> int:
    """Of a network's working memory. members: of the team of CPU threads that train it; None for CUDA."""
    settings = work.settings
    return memory_numbers(
        work.architecture,
        work.batch_size,
        len(settings.optimizer_rule.arrays),
        dropout=work.dropout is not None,
        clips=settings.clip_norm is not None,
        members=members,
    )


class BlockEngine(KernelEngine):
    name = "block"
    entry = "block_train"

    def __init__(self, work: Work, params: Array, program: Program | None = None) -> None:
        """params (P, K), C-contiguous, is trained in place. program: a compiled kernel to use instead of the usual."""
        settings = work.settings
        self.layout = cuda_layout(work)
        kernel = BlockKernel(work.dtype.name, settings.loss, settings.optimizer, self.layout)
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
        self.members = min(self.program.team(work.n_networks), most_members(work))
        self.pace, self.by_team, self.share = Pace(), False, 1.0
        self.numbers = working_numbers(work, self.members if self.backend.name == "numpy" else None)
        room = min(self.layout.shared_bytes, self.program.shared_room())
        self.shared_numbers = min(self.numbers, room // work.dtype.itemsize)
        self.blocks, self.meeting = 1, None  # of each network, on CUDA, and where they meet
        if self.layout.team > 1:
            resident = self.program.resident_blocks(self.entry) // work.n_networks
            self.blocks = max(1, team_blocks(work.architecture, work.batch_size, resident))
            self.meeting = self.backend.xp.zeros((work.n_networks, 2), np.int32)
        self.memory = {
            piece: self.backend.empty((self.program.columns(*piece), self.numbers), work.dtype)
            for _, piece in self.calls
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
            self.meeting,  # on a CPU, `_teams` fills these in
            0,
            self.blocks,
            *piece,
        ]

    def run(self, epoch: int, n_epochs: int, interruption: Interruption) -> tuple[Array, int]:
        if self.members == 1:
            return super().run(epoch, n_epochs, interruption)
        done: list[Array] = []
        end = epoch + n_epochs
        while epoch < end:
            room = self.members > 1 and others_waiting() < self.members
            self.by_team, count = self.pace.next(end - epoch, room)
            started = time.perf_counter()
            done.append(super().run(epoch, count, interruption)[0])
            self.pace.took(self.by_team, count, time.perf_counter() - started, self.share)
            epoch += count
        return self.backend.xp.concatenate(done, axis=1), 0

    def _launch(self, calls: list[list[Any]]) -> None:
        if not self.by_team:
            return self._launch_alone(calls)
        try:
            self.share = self.program.launch(self.entry, *self._teams(calls))
        except TooFewThreads as error:
            self.by_team, self.members = False, 1  # as if there had never been a team
            self._launch_alone(calls)
            tell_of_a_missing_team(error)

    def _launch_alone(self, calls: list[list[Any]]) -> None:
        shared_bytes = self.shared_numbers * self.work.dtype.itemsize
        self.program.launch(self.entry, calls, shared_bytes=shared_bytes, team_blocks=self.blocks)

    def _teams(self, calls: list[list[Any]]) -> tuple[list[list[Any]], Array]:
        """Each call by all members of a team, and where they meet."""
        meeting = self.backend.empty((1 + len(calls), MEETING), np.int32)
        meeting[...] = 0
        meeting[0, 0] = len(calls) * self.members
        meeting = meeting.reshape(-1)
        members = [
            [*call[:-5], meeting, member, self.members, *call[-2:]]
            for place, call in enumerate(calls)
            for member in range(place * self.members, (place + 1) * self.members)
        ]
        return members, meeting
