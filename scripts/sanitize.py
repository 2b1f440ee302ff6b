"""Run small trainings by the native kernels under AddressSanitizer, UndefinedBehaviorSanitizer, ThreadSanitizer.

Both branches of the kernels' source: the CPU's vectors, and CUDA's on the shim of the tests. Networks that fill no
vector and no block, row sets of different lengths; every array ends at a red zone. Teams of threads that train one
network, threads that train several, and both where some threads cannot be started or a launch is interrupted. Defects
made on purpose have to be found. Needs g++ with its libraries.

    python scripts/sanitize.py
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from gpubp.backends import Backend, NumpyBackend, host_compiler, host_threads
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.host_program import HostProgram, available_cores

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import bit_cases
import standin

from gpubp.backends.interruption import Interruption
from gpubp.engines.block import engine as block_engine
from gpubp.engines.block.engine import BlockEngine
from gpubp.engines.kernel_engine import KernelEngine
from gpubp.engines.lane import kernel as lane
from gpubp.networks.population import Population
from gpubp.networks.settings import Settings
from gpubp.operations.architecture import Architecture
from gpubp.training import loop

# Not optimised: compiled in a third of the time, and nothing is optimised away.
MEMORY = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1", "-O0")
THREADS = ("-fsanitize=thread", "-g1", "-O0")
CASES = [  # ragged; shuffled with Adam; four layers; row weights and clipping
    *(bit_cases.LANE_CASES[i] for i in (0, 1, 3, 8)),
    bit_cases.FRONT_CASES[-3],  # vectors, waves, factors
    bit_cases.PARAMETRIC_CASES[0],
    *(bit_cases.BLOCK_CASES[i] for i in (1, 7, 8)),  # Adam, one batch and single rows; left-over rows, own weights
]
NETWORKS = (17, 5, 1)
# Everything; squared errors; batches of validation rows; layers before the dense ones; slopes.
SHARED_WORK = [
    *(bit_cases.BLOCK_CASES[i] for i in (4, 5, 8)),
    *bit_cases.FRONT_CASES[-3:-1],
    bit_cases.PARAMETRIC_CASES[1],
]
FEW_THREADS = bit_cases.BLOCK_CASES[8]
TO_THE_END_OF_A_STACK = r".*?(?=\n\s*\n|\Z)"
REPORT = re.compile(rf"(ERROR: Address|WARNING: Thread)Sanitizer: {TO_THE_END_OF_A_STACK}", re.DOTALL)
KERNELS = "|".join(header.stem for header in Path(lane.__file__).parents[1].glob("*/*.h"))
FRAME_OF_A_KERNEL = re.compile(rf"^\s*#\d+ .*/({KERNELS})\.h:\d+", re.MULTILINE)
BRANCHES = ("cuda", "host", "threads", "limits")  # those that take longest first
JOBS = {f"{branch} defect": True for branch in BRANCHES} | dict.fromkeys(BRANCHES, False)  # has it to be stopped?


def main(job: Annotated[str, typer.Option(hidden=True)] = "") -> None:
    """Exit code 0: the kernels are clean, and the sanitizers see what they should."""
    if job:
        run(job)
        return
    compiler = os.environ.get("CXX") or "g++"
    memory, threads = (library(compiler, name) for name in ("libasan.so", "libtsan.so"))
    standard = library(compiler, "libstdc++.so")
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {
            "CXX": compiler,
            "GPUBP_CACHE_DIR": cache,
            "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",  # Python leaks by design
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "TSAN_OPTIONS": "halt_on_error=1:ignore_noninstrumented_modules=1",
            "STANDIN_CXXFLAGS": " ".join(MEMORY),
            "PYTHONMALLOC": "malloc",
            "OPENBLAS_NUM_THREADS": "1",
        }

        def outcome(job: str) -> bool:
            sanitizer = threads if job.startswith("threads") else memory
            return check(job, JOBS[job], environment | {"LD_PRELOAD": f"{sanitizer} {standard}"})

        with ThreadPoolExecutor(available_cores()) as side_by_side:
            good = [*side_by_side.map(outcome, JOBS)]
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
        good = done.returncode != 0 and is_in_a_kernel(done.stderr)
        words = "found, as it should be" if good else "NOT FOUND: the sanitizers are not at work"
    else:
        good = done.returncode == 0 and "trained" in done.stdout
        words = "clean" if good else "FAILED"
    typer.echo(f"{job}: {words} ({seconds:.1f} s)")
    if not good:
        typer.echo(done.stdout + done.stderr[-8000:], err=True)
    return good


def is_in_a_kernel(said: str) -> bool:
    """Whether the access that a sanitizer reports first was made by a kernel, or by what a kernel called."""
    report = REPORT.search(said)
    return report is not None and FRAME_OF_A_KERNEL.search(report[0]) is not None


class SanitizedBackend(NumpyBackend):
    """The CPU backend, its kernels compiled with a sanitizer."""

    def __init__(self, flags: Sequence[str], threads: int = 2) -> None:
        super().__init__()
        self.flags, self.threads = flags, threads

    def compile(self, source: str, definitions: Mapping[str, object]) -> HostProgram:
        return HostProgram(source, definitions, extra=self.flags, threads=self.threads)


def run(job: str) -> None:
    """In the sanitized process: trainings, or a training with a defect."""
    branch, _, defect = job.partition(" ")
    host_compiler.COMPILE_SECONDS = 3600.0  # with a sanitizer, and on a busy machine, a kernel may take minutes
    if branch == "threads":
        train_side_by_side(SanitizedBackend(THREADS), bool(defect))
        train_with_few_threads(SanitizedBackend(THREADS, threads=3))
    elif branch == "limits":
        leave_threads_behind(SanitizedBackend(MEMORY, threads=3), bool(defect))
        train_with_few_threads(SanitizedBackend(MEMORY, threads=3))
    elif branch == "host":
        train(SanitizedBackend(MEMORY), bool(defect))
    else:
        with standin.installed():
            train(CupyBackend(), bool(defect))


def replace_argument(engine: KernelEngine, name: str, change: Callable[[Any], Any]) -> None:
    """Behind the back of the checks that a call's arguments pass."""
    kept, place = engine.arguments._kept, engine.arguments.place[name]
    kept[place] = change(kept[place])


def train(backend: Backend, defect: bool) -> None:
    # On the shim 256 fibers a block take turns: few networks, for each has a block of its own, and few rows.
    on_shim = backend.name == "cupy"
    for case in CASES:
        for count in NETWORKS if not on_shim else NETWORKS[1:] if case.engine == "lane" else (2,):
            engine = bit_cases.engine(backend, case, epochs=3, keep=np.arange(count))
            if defect and backend.name == "numpy":  # without the padding beside the last network
                replace_argument(engine, "order", lambda order: order[:, :count].copy())  # noqa: B023
                replace_argument(engine, "order_stride", lambda _: count)  # noqa: B023
            elif defect:  # one network too few
                replace_argument(engine, "params", lambda params: params[:-1].copy())
            bit_cases.run_in_calls(engine, (1, 2))
            print(f"trained {count} networks: {case}")
    train_large(backend, rows=6 if on_shim else 12)
    train_narrow(backend)
    shape = Architecture(bit_cases.I, (5, 3), 2, "tanh")
    population = Population.initialize(shape, np.arange(3), backend)
    for rows in NETWORKS:
        lane.predict(backend, shape, population.params, backend.to_device(bit_cases.X[:rows], np.dtype(np.float32)))
        print(f"predicted {rows} rows")


def train_narrow(backend: Backend) -> None:
    """Layers of one output and of two, after enough values and rows for vectors along them."""
    random = np.random.default_rng(0)
    X, T = random.normal(size=(65, 17)), random.normal(size=(65, 2))
    networks = Population.initialize(Architecture(17, (35, 1, 19), 2, "tanh"), np.arange(3), backend)
    settings = Settings("squared_error", epochs=2, batch_size=33)
    loop.train(networks, X, T, settings, validation_rows=np.arange(30), engine="block")
    print("trained networks with few outputs")


def train_side_by_side(backend: Backend, defect: bool) -> None:
    """One network by a team of two threads, and several networks by two threads."""
    block_engine.MEMBER_OPERATIONS = 1
    block_engine.others_waiting = lambda: 0.0
    for case in SHARED_WORK:
        for count in (1, 5):
            engine = bit_cases.engine(backend, case, epochs=3, keep=np.arange(count))
            assert isinstance(engine, BlockEngine)
            assert engine.members == (2 if count == 1 else 1)
            if defect:
                no_team(engine)
            bit_cases.run_in_calls(engine, (1, 2))
            print(f"trained {count} networks: {case}")
    train_large(backend, rows=300)


def train_with_few_threads(backend: Backend) -> None:
    """A team of three threads and three that share several networks, of which so many can be started."""
    block_engine.MEMBER_OPERATIONS = 1
    block_engine.others_waiting = lambda: 0.0
    start = threading.Thread.start
    for can_start in (0, 1, 2):
        for count in (1, 5):
            left = [None] * can_start

            def limited(thread: threading.Thread, left: list[None] = left) -> None:
                if not left:
                    raise RuntimeError("can't start new thread")
                left.pop()
                start(thread)

            engine = bit_cases.engine(backend, FEW_THREADS, epochs=3, keep=np.arange(count))
            host_threads._STATE = host_threads._State()  # no helpers, nothing told
            threading.Thread.start = limited  # type: ignore[method-assign]
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                bit_cases.run_in_calls(engine, (1, 2) if can_start < 2 or count > 1 else (1,))
            threading.Thread.start = start  # type: ignore[method-assign]
            assert len(told) == (can_start < 2)
            print(f"trained {count} networks by {can_start + 1} threads of 3")


def leave_threads_behind(backend: Backend, defect: bool) -> None:
    """A launch is interrupted in this thread, while others train, and its arrays are let go of."""
    host_threads._STATE = host_threads._State()
    if defect:
        host_threads._Launch.end = lambda launch: vars(launch).update(arrays=None)  # type: ignore[method-assign]
    engine = bit_cases.engine(backend, FEW_THREADS, epochs=1000)
    library = engine.program.library  # type: ignore[attr-defined]
    kernel = library.function
    began, under_way = threading.Event(), list[None]()

    def interrupted(name: str, arguments: Any) -> Any:
        function = kernel(name, arguments)

        def call(*values: Any) -> None:
            if threading.current_thread() is threading.main_thread():
                assert began.wait(timeout=60)
                raise KeyboardInterrupt
            under_way.append(None)
            began.set()
            function(*values)
            under_way.pop()

        return call

    object.__setattr__(library, "function", interrupted)
    with contextlib.suppress(KeyboardInterrupt):
        engine.run(0, 1000, Interruption())
        raise AssertionError("it was not interrupted")
    del engine
    while under_way:  # a launch that did not wait leaves calls behind, whose arrays are freed
        time.sleep(0.01)
    print("interrupted a training of several networks")


def train_large(backend: Backend, rows: int) -> None:
    """Matrices that a CPU packs, one of them in the caller's array; by as large a team as there are threads."""
    random = np.random.default_rng(0)
    X, T = random.normal(size=(rows, 300)), random.normal(size=(rows, 2))
    for clip_norm in (None, 1.0):
        network = Population.initialize(Architecture(300, (448, 301), 2, "tanh"), np.arange(1), backend)
        settings = Settings("squared_error", epochs=1, batch_size=rows - 1, clip_norm=clip_norm)
        loop.train(network, X, T, settings, engine="block")
        print(f"trained a large network on {rows} rows")


def no_team(engine: KernelEngine) -> None:
    """Two threads train the same networks without knowing of each other."""

    def launch(calls: list[list[Any]]) -> None:
        for call in calls:
            solo, at = [*call], engine.arguments.place
            solo[at["meeting"]], solo[at["member"]], solo[at["members"]] = None, 0, 1
            engine.program.launch(engine.entry.name, [solo, solo], meeting=np.zeros(1, np.int32))

    engine._launch = launch  # type: ignore[method-assign]


if __name__ == "__main__":
    typer.run(main)
