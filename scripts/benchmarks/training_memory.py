"""Train one large network, and tell on standard output how much memory that took: a program for memory.py.

    python -m benchmarks.training_memory auto 5120

Large arrays are to go back to the system when they are freed, so that the peak is theirs: set MALLOC_MMAP_THRESHOLD_.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from pathlib import Path

from benchmarks.trainers import Problem
from gpubp.backends import NumpyBackend
from gpubp.networks.settings import Settings
from gpubp.training.loop import train

SIZES, BATCH_SIZE = (784, 1024, 1024, 10), 256
WARM_UP = (784, 256, 10)  # large enough for the same kernels and libraries
STATUS, FORGET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main(engine: str, n_rows: int) -> None:
    train_once(Problem.of(WARM_UP, BATCH_SIZE, 2), engine)
    problem = Problem.of(SIZES, BATCH_SIZE, n_rows // BATCH_SIZE)
    targets = problem.one_hot
    FORGET_PEAK.write_text("5", encoding="ascii")
    before = resident("VmRSS")
    tracemalloc.start()
    network = problem.population(NumpyBackend())
    tracemalloc.reset_peak()  # what drawing the weights takes is no part of the training
    FORGET_PEAK.write_text("5", encoding="ascii")
    settings = Settings(learning_rate=problem.rate, batch_size=BATCH_SIZE, epochs=2, shuffle=False)
    history = train(network, problem.X, targets, settings, engine=engine)
    arrays, peak = tracemalloc.get_traced_memory()[1], resident("VmHWM") - before
    print(json.dumps({"resident": peak, "arrays": arrays, "losses": history.training_loss[:, 0].tolist()}))


def train_once(problem: Problem, engine: str) -> None:
    settings = Settings(batch_size=BATCH_SIZE, epochs=1)
    train(problem.population(NumpyBackend()), problem.X, problem.one_hot, settings, engine=engine)


def resident(field: str) -> int:
    """Bytes of memory that are there now (VmRSS), or were at the most (VmHWM)."""
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
