"""How fast a lane kernel should be on a GPU that nobody had: an estimate on paper, from what it executes.

Instructions of one update and of a row's place in the shuffle are counted by the interpreter (PTX), each with the pipe
of the device that it occupies, and for how long. A multiprocessor's schedulers are kept busy by the fullest pipe, or
wait for the few threads that fit into its registers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from gpubp.engines.lane.kernel import LaneKernel
from gpubp.networks.population import Population, network_seeds
from gpubp.networks.settings import Settings
from gpubp.training.loop import train
from proof.backend import PtxBackend

# H100 SXM, published: 132 multiprocessors of 4 schedulers at 1.98 GHz; 65,536 registers each (NVIDIA H100 white paper).
MULTIPROCESSORS, SCHEDULERS, CLOCK, REGISTERS, MOST_WARPS = 132, 4, 1.98e9, 65_536, 64
# Cycles for which a warp's instruction occupies a pipe of one scheduler (CUDA Programming Guide, throughput of
# arithmetic instructions, capability 9.0: 128 float32, 64 float64, 64 integer, 16 special results a cycle). Products of
# integers share the pipe of float32. Each takes one cycle of the scheduler besides.
FLOAT32, FLOAT64, INTEGER, SPECIAL = 1.0, 2.0, 2.0, 8.0
# The L1 cache serves one line a cycle to all four schedulers; threads that gather each ask for a line of their own.
LINE, LINES_OF_A_GATHER = 4.0, 32
# Correctly rounded divisions and roots are short programs: a special function, Newton steps, a check; and a branch,
# around which nothing is moved, so that a warp waits out all of their steps.
LONG = {"div.rn.f32": 10.0, "sqrt.rn.f32": 10.0, "div.rn.f64": 20.0, "sqrt.rn.f64": 20.0, "rcp.rn.f64": 16.0}
WAIT_FOR_LONG = 120.0
FREE = ("mov.", "neg.", "abs.", "cvta.")  # register names and operand signs, after ptxas
# Of a warp alone: instructions wait for each other (ptxas's stall counts, sm_90), and once for a row.
ALONE_PER_INSTRUCTION, ALONE_PER_UPDATE = 1.6, 100.0


@dataclass(frozen=True)
class Estimate:
    """Of one kernel on an H100, shuffling included. instructions: of one update; updates: a second, of all networks."""

    instructions: float
    cycles: float  # of a scheduler, for the update of a warp's 32 networks
    warps: int  # on one multiprocessor
    updates: float
    alone: float  # of one network

    @property
    def networks(self) -> int:
        """That many have to be trained together to reach it."""
        return MULTIPROCESSORS * self.warps * 32


def estimate(kernel: LaneKernel, registers: int) -> Estimate:
    """registers: of a thread, as ptxas says."""
    executed = count_of_update(kernel)
    of_a_scheduler = REGISTERS // SCHEDULERS // (32 * -(-registers // 8) * 8)
    warps = SCHEDULERS * min(of_a_scheduler, MOST_WARPS // SCHEDULERS)
    pipes: Counter[str] = Counter()
    for opcode, count in executed.items():
        for pipe, cycles in occupied(opcode).items():
            pipes[pipe] += count * cycles
    cycles = max(pipes.values())
    long = sum(count for opcode, count in executed.items() if opcode in LONG)
    alone = pipes["issue"] * ALONE_PER_INSTRUCTION + long * WAIT_FOR_LONG + ALONE_PER_UPDATE
    together = max(cycles * warps / SCHEDULERS, alone)
    updates = MULTIPROCESSORS * warps * 32 * CLOCK / together
    return Estimate(pipes["issue"], cycles, warps, updates, CLOCK / alone)


def occupied(opcode: str) -> dict[str, float]:
    """Cycles of a scheduler by pipe."""
    if opcode.startswith(FREE):
        return {}
    if opcode in LONG:
        return {"issue": LONG[opcode], "float": LONG[opcode], "special": SPECIAL}
    if ".approx" in opcode:
        return {"issue": 1.0, "special": SPECIAL}
    if opcode.startswith(("ld.global.nc.v", "ld.v")):  # pieces of rows
        return {"issue": 1.0, "lines": LINE * LINES_OF_A_GATHER}
    if opcode.startswith(("ld.", "st.")):  # threads side by side
        return {"issue": 1.0, "lines": LINE}
    if opcode.endswith("f64") and not opcode.startswith(("setp", "selp")):
        return {"issue": 1.0, "double": FLOAT64}
    if opcode.startswith(("fma", "add.rn", "sub.rn", "mul.rn")):
        return {"issue": 1.0, "float": FLOAT32}
    wide = 2.0 if opcode.endswith("64") else 1.0
    pipe = "float" if opcode.startswith(("mul", "mad")) else "integer"
    return {"issue": wide, pipe: INTEGER * wide}


def count_of_update(kernel: LaneKernel) -> dict[str, float]:
    """Instructions by opcode that a thread runs for an online update and, where the kernel shuffles, for the row's
    place: the difference of eight rows and four.
    """
    if not kernel.online:
        raise ValueError("only online updates are counted")
    few, many = (_executed(replace(kernel, validation=False), rows) for rows in (4, 8))
    return {opcode: (many[opcode] - few[opcode]) / 4 for opcode in many if many[opcode] != few[opcode]}


def _executed(kernel: LaneKernel, n_rows: int) -> Counter[str]:
    shape = kernel.architecture
    random = np.random.default_rng(0)
    X = random.normal(size=(n_rows, shape.n_inputs))
    T = np.eye(shape.n_outputs)[random.integers(0, shape.n_outputs, n_rows)]
    settings = Settings(
        loss=kernel.loss, optimizer=kernel.optimizer, learning_rate=0.01, batch_size=1, epochs=1, shuffle=kernel.shuffle
    )
    backend = PtxBackend()
    population = Population.initialize(shape, network_seeds(1, 1), backend, dtype=kernel.dtype)
    train(population, X, T, settings, engine="lane")
    return backend.machines[0].executed
