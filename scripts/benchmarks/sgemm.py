"""How much of a core's matrix product speed the block engine keeps: picoseconds per operation, one thread.

A training's operations are counted as 6 for each parameter and row: a multiplication and an addition forward, and for
the gradients of the weights and of the inputs. (The first layer's inputs need none, so that where it is the largest,
fewer are done: two thirds in 784-128-10.) Everything else that an update is, is in its time and counts as none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.contest import Goal, Row, WrongAnswer
from benchmarks.engines import refusal
from benchmarks.trainers import Problem
from gpubp.backends import Backend, NumpyBackend
from gpubp.backends.host_program import HostProgram
from gpubp.backends.interruption import Interruption
from gpubp.engines.block.engine import BlockEngine
from gpubp.engines.block.kernel import BlockKernel
from gpubp.networks.preparation import prepare
from gpubp.networks.settings import Settings
from gpubp.training.loop import train

SIDE = 512
SGEMM, BLOCK = f"sgemm {SIDE}, 1 thread", "gpubp block, 1 thread"


@dataclass(frozen=True)
class Size:
    sizes: tuple[int, ...]
    batch_size: int
    batches: int  # of an epoch
    epochs: int


SIZES = {
    "small": Size((16, 64, 64, 3), 32, 100, 60),
    "middle": Size((64, 256, 256, 10), 128, 25, 8),
    "wide": Size((784, 128, 10), 128, 25, 8),
}


def sgemm_row(name: str, backend: Backend, quick: bool) -> Row:
    """On the CPU, whatever the backend."""
    size = SIZES[name]
    problem, epochs = Problem.of(size.sizes, size.batch_size, size.batches), 1 if quick else size.epochs
    contenders, missing = {SGEMM: partial(sgemm_picoseconds, 2 if quick else 40, 1)}, {}
    reason = refusal(lambda: by_block(problem, 1))
    if reason is None:
        contenders[BLOCK] = partial(block_picoseconds, problem, epochs)
    else:
        missing[BLOCK] = reason
    return Row(
        f"sgemm-{name}",
        f"{problem.architecture}, Adam, batch {problem.batch_size}, one thread",
        "ps per operation",
        partial(check, problem, reason is None),
        contenders,
        missing,
        (Goal(0.75, (SGEMM,)),),
    )


def check(problem: Problem, served: bool) -> str:
    """One thread trains as all of them do."""
    if not served:
        return "nothing to compare"
    network = problem.population(NumpyBackend())
    losses = train(network, problem.X, problem.one_hot, settings(problem, 2), engine="block").training_loss
    if not np.array_equal(by_block(problem, 2)[1], losses[:, 0]):
        raise WrongAnswer(f"{BLOCK}: not the epoch losses that train() has")
    return "the same epoch losses as by train(), to the bit"


def block_picoseconds(problem: Problem, epochs: int) -> float:
    operations = 6.0 * problem.architecture.n_parameters * len(problem.X) * epochs
    return 1e12 * by_block(problem, epochs)[0] / operations


def by_block(problem: Problem, epochs: int) -> tuple[float, np.ndarray]:
    """(seconds, each epoch's mean training loss)."""
    kernel = BlockKernel("float32", "cross_entropy", "adam")
    program = HostProgram(kernel.source, kernel.definitions(), threads=1)
    network = problem.population(NumpyBackend())
    work = prepare(network, problem.X, problem.one_hot, settings(problem, epochs))
    engine = BlockEngine(work, network.params, program)
    with Interruption() as interruption:
        started = time.perf_counter()
        metrics, _ = engine.run(0, epochs, interruption)
        return time.perf_counter() - started, metrics[0, :, 0]


def settings(problem: Problem, epochs: int) -> Settings:
    return Settings(learning_rate=problem.rate, batch_size=problem.batch_size, epochs=epochs, shuffle=False)


def sgemm_picoseconds(products: int, threads: int | None) -> float:
    """By NumPy's BLAS; threads: None for as many as it takes by itself."""
    random = np.random.default_rng(0)
    A, B = (random.normal(size=(SIDE, SIDE)).astype(np.float32) for _ in range(2))
    out = np.empty_like(A)
    with threadpool_limits(threads, user_api="blas"):
        np.matmul(A, B, out=out)
        started = time.perf_counter()
        for _ in range(products):
            np.matmul(A, B, out=out)
        seconds = time.perf_counter() - started
    return 1e12 * seconds / (2.0 * SIDE**3 * products)


SGEMM_ROWS = {f"sgemm-{name}": partial(sgemm_row, name) for name in SIZES}
