"""What compiling takes for the sweep of 9,900 different networks, from an empty kernel cache, in a process of its own.

python -m benchmarks.sweep_compile quick        # with GPUBP_CACHE_DIR; prints what it took
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks import sweep_heterogeneous
from benchmarks.contest import Goal, Row, WrongAnswer
from benchmarks.sweep_heterogeneous import Crowd
from gpubp.backends import Backend, get_backend
from gpubp.backends.kernel_cache import VARIABLE, cache_entries

ALLOWED, TRAINING = "30 seconds", "the training that it serves"


def sweep_compile_row(backend: Backend, quick: bool) -> Row:
    crowd = crowd_of(quick)
    told: dict[str, float] = {}

    def compiled() -> float:
        told.update(from_nothing(backend.name, quick))
        return told["compiling"]

    return Row(
        "sweep-compile",
        f"compiling for {crowd.n_networks:,} networks ({crowd.epochs} epochs), from an empty cache",
        "s",
        partial(check, backend.name, quick),
        {"gpubp": compiled, ALLOWED: lambda: 30.0, TRAINING: lambda: told["sweep"] - told["compiling"]},
        goals=(Goal(1, (ALLOWED,)), Goal(1, (TRAINING,))),
        warm=True,  # each time a process of its own
    )


def crowd_of(quick: bool) -> Crowd:
    """With a fifth of the epochs: what compiling takes does not depend on them."""
    full = sweep_heterogeneous.FULL
    return sweep_heterogeneous.QUICK if quick else replace(full, epochs=full.epochs // 5)


def check(backend: str, quick: bool) -> str:
    """One kernel, or as many as there are kinds of training, and not one for each width."""
    told = from_nothing(backend, quick)
    if told["kernels"] > 3:
        raise WrongAnswer(f"gpubp: {told['kernels']:g} kernels were compiled for one loss, optimizer and dtype")
    return f"{told['kernels']:g} compiled in all"


def from_nothing(backend: str, quick: bool) -> dict[str, float]:
    """kernels: how many were compiled. compiling: the seconds of each, added up. sweep: of the whole sweep with it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            VARIABLE: folder,
            "GPUBP_BACKEND": backend,
            "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        }
        command = [sys.executable, "-m", "benchmarks.sweep_compile", *(["quick"] if quick else [])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise WrongAnswer(f"gpubp: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout))


def main(quick: bool) -> None:
    started = time.perf_counter()
    crowd_of(quick).sweep(get_backend())
    seconds, entries = time.perf_counter() - started, cache_entries()
    print(json.dumps({"kernels": len(entries), "compiling": sum(e.seconds for e in entries), "sweep": seconds}))


if __name__ == "__main__":
    main("quick" in sys.argv[1:])

SWEEP_COMPILE_ROWS = {"sweep-compile": sweep_compile_row}
