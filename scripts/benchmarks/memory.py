"""The memory that training a large network takes beyond its table: megabytes, of a process of its own.

What is resident at the most, less what was there with the libraries and the table, before the network was made. So
parameters, optimizer state and activations count, and so does what the matrix library takes for itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.contest import Goal, Row, WrongAnswer
from benchmarks.trainers import Problem
from benchmarks.training_memory import BATCH_SIZE, FORGET_PEAK, SIZES
from gpubp.backends import Backend

ALLOWED = "parameters + optimizer state + 3 × activations"
BATCHES = 40
TOLERANCE = 2e-3  # of the epoch losses, as in the other rows


def memory_row(backend: Backend, quick: bool) -> Row:
    """On the CPU, whatever the backend."""
    problem = Problem.of(SIZES, BATCH_SIZE, 4 if quick else BATCHES)
    measured, missing = ("gpubp auto", "gpubp block"), {}
    if not FORGET_PEAK.exists():
        missing = dict.fromkeys(measured, "needs Linux, which tells a process's peak")
    runs = {name: partial(trained, name.removeprefix("gpubp "), len(problem.X)) for name in measured if not missing}
    contenders: dict[str, Callable[[], float]] = {name: partial(resident_mb, run) for name, run in runs.items()}
    return Row(
        "memory-large",
        f"{problem.architecture}, Adam, batch {BATCH_SIZE}, {len(problem.X):,} rows",
        "MB beyond the table",
        partial(check, runs),
        contenders | {ALLOWED: lambda: allowed_mb(problem)},
        missing,
        (Goal(1, (ALLOWED,), ours="gpubp auto"),),
    )


def allowed_mb(problem: Problem) -> float:
    """Adam's state is twice the parameters; activations are all layers' values for a batch, without the inputs."""
    activations = BATCH_SIZE * sum(problem.architecture.sizes[1:])
    return 4e-6 * (3 * problem.architecture.n_parameters + 3 * activations)


def trained(engine: str, n_rows: int) -> dict[str, object]:
    command = [sys.executable, "-m", "benchmarks.training_memory", engine, str(n_rows)]
    scripts = str(Path(__file__).resolve().parents[1])
    environment = os.environ | {"PYTHONPATH": scripts, "MALLOC_MMAP_THRESHOLD_": "131072"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise WrongAnswer(f"gpubp {engine}: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout))


def resident_mb(run: Callable[[], dict[str, object]]) -> float:
    return 1e-6 * float(str(run()["resident"]))


def check(runs: dict[str, Callable[[], dict[str, object]]]) -> str:
    if not runs:
        return "nothing to compare"
    results = {name: run() for name, run in runs.items()}
    first = next(iter(results))
    for name, result in results.items():
        if not np.allclose(result["losses"], results[first]["losses"], rtol=TOLERANCE, atol=0):
            raise WrongAnswer(f"{name}: epoch losses are not {first}'s")
    arrays = ", ".join(f"{name} {1e-6 * float(str(result['arrays'])):.3g}" for name, result in results.items())
    return f"the same epoch losses, to {TOLERANCE:g}; of NumPy's arrays alone, in MB: {arrays}"


MEMORY_ROWS = {"memory-large": memory_row}
