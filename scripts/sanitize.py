"""Run small trainings by the lane kernel under AddressSanitizer and UndefinedBehaviorSanitizer.

Both branches of the kernel's source: the CPU's vectors, and CUDA's on the shim of the tests. Networks that fill no
vector and no block, row sets of different lengths; every array ends at a red zone. First, two defects made on purpose
have to be found. Needs g++ and its libasan.

    python scripts/sanitize.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from gpubp.backends import Backend, NumpyBackend
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.host_program import HostProgram

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import lane_cases
import standin

FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1", "-O1")
CASES = (0, 1, 3, 8)  # of tests/lane_cases.py: ragged; shuffled with Adam; four layers; row weights and clipping
NETWORKS = (17, 5, 1)
IN_THE_KERNEL = re.compile(r"SUMMARY: AddressSanitizer: \S+ \S*(lane|dialect)\.h:")
JOBS = {"host defect": True, "cuda defect": True, "host": False, "cuda": False}  # has to be stopped by a sanitizer?


def main(job: Annotated[str, typer.Option(hidden=True)] = "") -> None:
    """Exit code 0: the kernels are clean, and the sanitizers see what they should."""
    if job:
        run(job)
        return
    compiler = os.environ.get("CXX") or "g++"
    preload = [library(compiler, name) for name in ("libasan.so", "libstdc++.so")]
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {
            "CXX": compiler,
            "GPUBP_CACHE_DIR": cache,
            "LD_PRELOAD": " ".join(preload),
            "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",  # Python leaks by design
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "STANDIN_CXXFLAGS": " ".join(FLAGS),
            "PYTHONMALLOC": "malloc",
            "OPENBLAS_NUM_THREADS": "1",
        }
        good = [check(job, is_defect, environment) for job, is_defect in JOBS.items()]
    if not all(good):
        raise typer.Exit(1)


def library(compiler: str, name: str) -> str:
    """The path of one of the compiler's own libraries; exits where it has none."""
    if shutil.which(compiler) is None:
        typer.echo(f"{compiler} is not installed: the sanitizers come with g++.", err=True)
        raise typer.Exit(2)
    found = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = Path(found.stdout.strip())
    if not path.is_absolute():
        typer.echo(f"{compiler} has no {name}: install g++ with its sanitizers, or set CXX to it.", err=True)
        raise typer.Exit(2)
    return str(path)


def check(job: str, is_defect: bool, environment: dict[str, str]) -> bool:
    """Run the job in a process of its own, and tell whether it ended as it should."""
    start = time.perf_counter()
    command = [sys.executable, str(Path(__file__).resolve()), "--job", job]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    seconds = time.perf_counter() - start
    if is_defect:
        good = done.returncode != 0 and IN_THE_KERNEL.search(done.stderr) is not None
        words = "found, as it should be" if good else "NOT FOUND: the sanitizers are not at work"
    else:
        good = done.returncode == 0 and "trained" in done.stdout
        words = "clean" if good else "FAILED"
    typer.echo(f"{job}: {words} ({seconds:.1f} s)")
    if not good:
        typer.echo(done.stdout + done.stderr[-8000:], err=True)
    return good


class SanitizedBackend(NumpyBackend):
    """The CPU backend, its kernels compiled with the sanitizers."""

    def compile(self, source: str, definitions: Mapping[str, object]) -> HostProgram:
        return HostProgram(source, definitions, extra=FLAGS, threads=2)


def run(job: str) -> None:
    """In the sanitized process: trainings, or a training with a defect."""
    branch, _, defect = job.partition(" ")
    if branch == "host":
        train(SanitizedBackend(), bool(defect))
    else:
        with standin.installed():
            train(CupyBackend(), bool(defect))


def train(backend: Backend, defect: bool) -> None:
    for case in [lane_cases.CASES[i] for i in CASES]:
        for count in NETWORKS:
            engine = lane_cases.engine(backend, case, epochs=3, keep=np.arange(count))
            if defect and backend.name == "numpy":  # without the padding beside the last network
                engine.order, engine.order_stride = engine.order[:, :count].copy(), count
            elif defect:  # one network too few
                engine.params = engine.params[:-1].copy()
            lane_cases.run_in_calls(engine, (1, 2))
            print(f"trained {count} networks: {case}")


if __name__ == "__main__":
    typer.run(main)
