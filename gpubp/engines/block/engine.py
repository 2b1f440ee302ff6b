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
from gpubp.engines.block.arguments import TRAIN
from gpubp.engines.block.kernel import BlockKernel, shape_numbers
from gpubp.engines.block.layout import BlockLayout, block_layout, team_blocks
from gpubp.engines.block.memory import ROW_STEP, MemoryLayout, training_layout, vectors_of
from gpubp.engines.block.thread_tuner import ThreadTuner
from gpubp.engines.kernel_engine import KernelEngine
from gpubp.networks.plan import TrainingPlan
from gpubp.operations.dense import has_own_rates
from gpubp.operations.layers import Factors
from gpubp.operations.parametric import SLOPES

MEETING = 32  # numbers for a team to meet at (block_cpu.h)
# Of a network's update, for each thread of a team: of fewer, about 50 microseconds, threads would mostly wait for each
# other. Measured with two threads.
MEMBER_OPERATIONS = 5e6


def most_members(plan: TrainingPlan) -> int:
    """Of a team of threads that train one network, by the operations of an update: for each row and parameter a
    multiply-add forward, and two backward."""
    operations = 6.0 * plan.architecture.n_parameters * plan.batch_size
    return max(1, int(operations / MEMBER_OPERATIONS))


def cuda_layout(plan: TrainingPlan) -> BlockLayout:
    """By which a CUDA device trains the networks; the default where there is none."""
    device = plan.backend.multiprocessors()
    if device is None:
        return BlockLayout()
    needed = memory_layout(plan, plan.batch_size, vectors=None).numbers * plan.dtype.itemsize
    return block_layout(plan.architecture, plan.batch_size, plan.n_networks, needed, device)


def memory_layout(plan: TrainingPlan, batch_size: int, **machine: Any) -> MemoryLayout:
    """Of a network's working memory. machine: members, vectors and shared of `training_layout`."""
    settings = plan.settings
    return training_layout(
        plan.architecture,
        -(-batch_size // ROW_STEP) * ROW_STEP,
        len(settings.state_arrays),
        dropout=plan.dropout is not None,
        clips=settings.clip_norm is not None,
        **machine,
    )


class BlockEngine(KernelEngine):
    name = "block"
    entry = TRAIN

    def __init__(self, plan: TrainingPlan, params: Array, program: Program | None = None) -> None:
        """params (P, K), C-contiguous, is trained in place. program: a compiled kernel to use instead of the usual."""
        settings = plan.settings
        self.layout = cuda_layout(plan)
        self.has_groups = bool(plan.architecture.special) or has_own_rates(plan.hyper)
        kernel = BlockKernel(
            plan.dtype.name,
            settings.loss,
            settings.optimizer,
            self.layout,
            self.has_groups,
            settings.average is not None,
        )
        program = program or plan.backend.compile(kernel.source, kernel.definitions())
        self.shape = plan.backend.to_device(shape_numbers(plan.architecture))
        self.inputs = plan.backend.to_device(plan.X, plan.dtype)
        super().__init__(plan, params, program)

    def _table(self, plan: TrainingPlan, T: np.ndarray) -> Array:
        """The targets (N, O) alone: the inputs are taken from where they are."""
        return self.backend.to_device(T, plan.dtype)

    def _lay_out(self, plan: TrainingPlan) -> None:
        super()._lay_out(plan)
        self.members = min(self.program.team(plan.n_networks), most_members(plan))
        self.tuner, self.by_team, self.share = ThreadTuner(), False, 1.0
        room = min(self.layout.shared_bytes, self.program.shared_room()) // plan.dtype.itemsize
        machine = {"members": self.members, "vectors": vectors_of(self.program), "shared": room}
        layouts = {run: memory_layout(plan, min(plan.batch_size, run.n_rows), **machine) for run in self.runs}
        self.shared_numbers = max(layout.shared_numbers for layout in layouts.values())
        tables = {layout: self.backend.to_device(layout.table) for layout in {*layouts.values()}}
        self.blocks, self.meeting = 1, None  # of each network, on CUDA, and where they meet
        if self.layout.team > 1:
            resident = self.program.resident_blocks(self.entry.name) // plan.n_networks
            self.blocks = max(1, team_blocks(plan.architecture, plan.batch_size, resident))
            self.meeting = self.backend.xp.zeros((plan.n_networks, 2), np.int32)
        self.memory = {}  # what a piece's call works in, and where in it arrays lie
        for run, piece in self.calls:
            memory = self.backend.empty((self.program.columns(*piece), layouts[run].numbers), plan.dtype)
            self.memory[piece] = {
                "memory": memory,
                "memory_stride": layouts[run].numbers,
                "layout": tables[layouts[run]],
            }
        self.arguments.keep({
            "shape": self.shape,
            "inputs": self.inputs,
            "targets": self.table,
            "validation_targets": self.validation_table,
            "groups": self._groups(plan) if self.has_groups else None,
            "has_l2": int(np.any(plan.hyper["l2"])),
            "has_clip": int(plan.settings.clip_norm is not None),
            "meeting": self.meeting,  # on a CPU, `_teams` fills these in
            "member": 0,
            "members": self.blocks,
        })  # fmt: skip

    def _groups(self, plan: TrainingPlan) -> Array:
        """(7 · layers, P): of each layer the factors of its parameters' rate, L2 and weight decay, of the rate of its
        biases, and of its slopes as of the others; 1 where it has none.
        """
        rows: list[Any] = []
        for layer in plan.architecture.layers:
            slopes, biases = Factors(1.0, 1.0, 1.0), Factors(1.0, 1.0, 1.0)
            for each in layer.parameters:
                factors = layer.factors(each, plan.hyper)
                if each.group == SLOPES:
                    slopes = factors
                elif each.group.decay == 0.0:
                    biases = factors
                else:
                    others = factors
            rows += [*others, biases.rate, *slopes]
        table = np.stack([np.broadcast_to(np.asarray(row, np.float64), (plan.n_networks,)) for row in rows])
        return self.backend.to_device(table, plan.dtype)

    def _row_weights(self, plan: TrainingPlan) -> Array | None:
        return None if plan.weights is None else self.backend.to_device(plan.weights, plan.dtype)

    def _own_arguments(self, piece: tuple[int, int]) -> dict[str, Any]:
        return self.memory[piece]

    def run(self, epoch: int, n_epochs: int, interruption: Interruption) -> tuple[Array, int]:
        if self.members == 1:
            return super().run(epoch, n_epochs, interruption)
        done: list[Array] = []
        end = epoch + n_epochs
        while epoch < end:
            room = self.members > 1 and others_waiting() < self.members
            self.by_team, count = self.tuner.next(end - epoch, room)
            started = time.perf_counter()
            done.append(super().run(epoch, count, interruption)[0])
            self.tuner.took(self.by_team, count, time.perf_counter() - started, self.share)
            epoch += count
        return self.backend.xp.concatenate(done, axis=1), 0

    def _launch(self, calls: list[list[Any]]) -> None:
        if not self.by_team:
            return self._launch_alone(calls)
        try:
            self.share = self.program.launch(self.entry.name, *self._teams(calls))
        except TooFewThreads as error:
            self.by_team, self.members = False, 1  # as if there had never been a team
            self._launch_alone(calls)
            tell_of_a_missing_team(error)

    def _launch_alone(self, calls: list[list[Any]]) -> None:
        shared_bytes = self.shared_numbers * self.plan.dtype.itemsize
        self.program.launch(self.entry.name, calls, shared_bytes=shared_bytes, team_blocks=self.blocks)

    def _teams(self, calls: list[list[Any]]) -> tuple[list[list[Any]], Array]:
        """Each call by all members of a team, and where they meet."""
        meeting = self.backend.empty((1 + len(calls), MEETING), np.int32)
        meeting[...] = 0
        meeting[0, 0] = len(calls) * self.members
        meeting = meeting.reshape(-1)
        at = self.arguments.place
        by_member = []
        for place, call in enumerate(calls):
            for member in range(place * self.members, (place + 1) * self.members):
                own = [*call]
                own[at["meeting"]], own[at["member"]], own[at["members"]] = meeting, member, self.members
                by_member.append(own)
        return by_member, meeting
