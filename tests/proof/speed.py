"""How fast a lane kernel should be on a GPU that nobody had: an estimate on paper, from what it executes.

Instructions of one update are counted by the interpreter (PTX), each weighed by what the device's pipes need for it; a
multiprocessor's schedulers are either kept busy, or wait for the few threads that fit into its registers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from gpubp.kernels.lane import CUDA_THREADS, LaneKernel
from gpubp.population import Population, network_seeds
from gpubp.training import Settings, train
from proof.backend import PtxBackend

# H100 SXM, published: 132 multiprocessors of 4 schedulers at 1.98 GHz; 65,536 registers each (NVIDIA H100 white paper).
MULTIPROCESSORS, SCHEDULERS, CLOCK, REGISTERS, MOST_WARPS = 132, 4, 1.98e9, 65_536, 64
# Cycles for which a warp's instruction occupies a pipe of one scheduler (CUDA Programming Guide, throughput of
# arithmetic instructions, capability 9.0: 128 float32, 64 float64, 64 integer, 16 special results a cycle).
FLOAT32, FLOAT64, INTEGER, LOAD = 1.0, 2.0, 2.0, 4.0
# Correctly rounded divisions and roots are short programs: a special function, Newton steps, a check.
LONG = {"div.rn.f32": 20.0, "sqrt.rn.f32": 20.0, "div.rn.f64": 40.0, "sqrt.rn.f64": 40.0, "rcp.rn.f64": 32.0}
FREE = ("mov.", "neg.", "cvta.")  # register names and operand signs, after ptxas
# Of a warp alone: instructions wait for each other about half of the time (4 cycles each), and twice for memory.
ALONE_PER_INSTRUCTION, ALONE_PER_UPDATE = 2.0, 500.0


@dataclass(frozen=True)
class Estimate:
    """Of one kernel on an H100. instructions: PTX of one update, without shuffling; updates: a second, all networks."""

    instructions: float
    cycles: float  # of a scheduler, for the update of a warp's 32 networks
    warps: int  # on one multiprocessor
    updates: float

    @property
    def networks(self) -> int:
        """That many have to be trained together to reach it."""
        return MULTIPROCESSORS * self.warps * 32


def estimate(kernel: LaneKernel, registers: int) -> Estimate:
    """registers: of a thread, as ptxas says."""
    executed = count_of_update(kernel)
    blocks = REGISTERS // (-(-registers // 8) * 8 * CUDA_THREADS)
    warps = min(blocks * CUDA_THREADS // 32, MOST_WARPS)
    cycles = sum(count * weight(opcode) for opcode, count in executed.items())
    instructions = sum(executed.values())
    alone = instructions * ALONE_PER_INSTRUCTION + ALONE_PER_UPDATE
    together = max(cycles * warps / SCHEDULERS, cycles, alone)
    updates = MULTIPROCESSORS * warps * 32 * CLOCK / together
    return Estimate(instructions, cycles, warps, updates)


def weight(opcode: str) -> float:
    """Cycles of a scheduler's pipe."""
    if opcode in LONG:
        return LONG[opcode]
    if opcode.startswith(FREE):
        return 0.0
    if opcode.startswith(("ld.", "st.")):
        return LOAD
    if opcode.startswith(("fma", "add.rn", "sub.rn", "mul.rn")):
        return FLOAT64 if opcode.endswith("f64") else FLOAT32
    return INTEGER * (2.0 if opcode.endswith("64") else 1.0)


def count_of_update(kernel: LaneKernel) -> dict[str, float]:
    """Instructions by opcode that a thread runs for an online update: the difference of eight rows and four."""
    if not kernel.online:
        raise ValueError("only online updates are counted")
    few, many = (_executed(replace(kernel, validation=False, shuffle=False), rows) for rows in (4, 8))
    return {opcode: (many[opcode] - few[opcode]) / 4 for opcode in many if many[opcode] != few[opcode]}


def _executed(kernel: LaneKernel, n_rows: int) -> Counter[str]:
    shape = kernel.architecture
    random = np.random.default_rng(0)
    X = random.normal(size=(n_rows, shape.n_inputs))
    T = np.eye(shape.n_outputs)[random.integers(0, shape.n_outputs, n_rows)]
    settings = Settings(
        loss=kernel.loss, optimizer=kernel.optimizer, learning_rate=0.01, batch_size=1, epochs=1, shuffle=False
    )
    backend = PtxBackend()
    population = Population.initialize(shape, network_seeds(1, 1), backend, dtype=kernel.dtype)
    train(population, X, T, settings, engine="lane")
    return backend.machines[0].executed
