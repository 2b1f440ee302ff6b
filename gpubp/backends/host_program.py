"""Compiled kernels on the CPU: a range of networks is cut into pieces, and threads call the C function for each."""

from __future__ import annotations

import ctypes
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np

from gpubp.backends.host_compiler import Isa, compile_library, find_compiler
from gpubp.backends.kernel_cache import VARIABLE as CACHE_VARIABLE

MOST_LOADED = 256  # programs that a process keeps at hand
PIECES_PER_THREAD = 4  # so that a thread which is done early finds more to do
FEW_GROUPS = 32  # of so many, each thread takes one piece: handing out more costs more than waiting for one another


class HostProgram:
    """A compiled source. `lanes`: networks that the kernel trains at a time."""

    def __init__(
        self,
        source: str,
        definitions: Mapping[str, object],
        *,
        isa: Isa = "native",
        extra: Sequence[str] = (),
        threads: int | None = None,
    ) -> None:
        self.library = compile_library(source, definitions, include=(), isa=isa, extra=extra)
        self.threads = threads or available_cores()
        self.lanes: int = self.library.function("lane_count", (), ctypes.c_int)()

    def pieces(self, first: int, last: int) -> list[tuple[int, int]]:
        """Cut networks first … last−1 into ranges of whole lane groups, some for each thread."""
        groups = -(-(last - first) // self.lanes)
        per_thread = 1 if groups <= FEW_GROUPS else PIECES_PER_THREAD
        size = self.lanes * max(1, groups // (self.threads * per_thread))
        return [(start, min(start + size, last)) for start in range(first, last, size)]

    def columns(self, first: int, last: int) -> int:
        """How many networks' scratch memory a call for this piece needs at a time."""
        return self.lanes

    def team(self, n_networks: int) -> int:
        return max(1, self.threads // n_networks)

    def shared_room(self) -> int:
        return 0

    def launch(self, name: str, calls: Sequence[Sequence[Any]], together: bool = False, shared_bytes: int = 0) -> float:
        """Call the function once for each argument list: arrays as pointers, None as a null pointer, ints.

        The calls run side by side (ctypes lets go of the interpreter's lock); all are done on return.
        """
        if not calls:
            return 1.0
        function = self.library.function(name, [_ctype(argument) for argument in calls[0]])
        addresses: dict[int, int] = {}  # the calls share most of their arrays
        bound = [[_value(argument, addresses) for argument in call] for call in calls]
        if together and len(bound) > 1:
            return _run_together(function, bound)
        if self.threads == 1 or len(bound) == 1:
            for call in bound:
                function(*call)
        else:
            with _Launch() as launch:
                _share_out(function, bound, self.threads, takes_part=launch.is_alone)
        return 1.0


def loaded_program(source: str, definitions: Mapping[str, object]) -> HostProgram:
    """The program, compiled and loaded when it is first asked for in this process: small trainings are many calls."""
    surroundings = (find_compiler(), os.environ.get(CACHE_VARIABLE), available_cores())
    key = (source, tuple(sorted((name, str(value)) for name, value in definitions.items())), surroundings)
    if key not in _loaded:
        if len(_loaded) >= MOST_LOADED:
            _loaded.pop(next(iter(_loaded)))
        _loaded[key] = HostProgram(source, definitions)
    return _loaded[key]


_loaded: dict[Any, HostProgram] = {}


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def others_waiting() -> float:
    """How many other threads want the cores that this process may use, now; 0 where the system does not tell."""
    try:
        running = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):  # not on Linux
        return 0.0
    return max(0, running - 1) * available_cores() / (os.cpu_count() or 1)


class _Launch:
    """One at a time is alone: it begins while no other is in progress."""

    _lock, _in_progress = Lock(), 0

    def __enter__(self) -> _Launch:
        with _Launch._lock:
            self.is_alone = _Launch._in_progress == 0
            _Launch._in_progress += 1
        return self

    def __exit__(self, *error: object) -> None:
        with _Launch._lock:
            _Launch._in_progress -= 1


def _share_out(function: Callable[..., Any], calls: Sequence[Sequence[Any]], threads: int, takes_part: bool) -> None:
    """All calls, by the pool's threads; takes_part: and by this one, which is awake already. Where several threads
    launch at a time, the pool's, as many as there are cores, do it all: more would only take turns.
    """
    left: deque[Sequence[Any]] = deque(calls)

    def work() -> None:
        while left:
            try:
                call = left.popleft()
            except IndexError:  # another took it
                return
            function(*call)

    helpers = [_pool(threads).submit(work) for _ in range(min(threads, len(calls)) - takes_part)]
    try:
        if takes_part:
            work()
        wait(helpers)
    except BaseException:  # Ctrl-C: the memory that the calls work in is theirs until they are done
        left.clear()
        wait(helpers)
        raise


def _run_together(function: Callable[..., Any], calls: Sequence[Sequence[Any]]) -> float:
    """All calls at the same time; the least share of a processor that one of them had."""
    shares = [1.0] * len(calls)

    def run(place: int) -> None:
        began, worked = time.perf_counter(), time.thread_time()
        function(*calls[place])
        shares[place] = (time.thread_time() - worked) / max(time.perf_counter() - began, 1e-9)

    # Threads of their own: in a pool, two such launches could each wait for a member that the other keeps out.
    # Daemons: they would wait without end for this one, if Ctrl-C came before its call.
    helpers = [Thread(target=run, args=(place,), daemon=True) for place in range(1, len(calls))]
    for helper in helpers:
        helper.start()
    try:
        run(0)
    finally:
        for helper in helpers:
            helper.join()
    return min(shares)


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="gpubp")


def _ctype(argument: Any) -> Any:
    return ctypes.c_void_p if argument is None or isinstance(argument, np.ndarray) else ctypes.c_int


def _value(argument: Any, addresses: dict[int, int]) -> Any:
    """addresses: of the arrays met so far, by their id; filled in."""
    if not isinstance(argument, np.ndarray):
        return argument
    found = addresses.get(id(argument))
    if found is None:
        if not argument.flags.c_contiguous:
            raise ValueError("a kernel reads C-contiguous arrays only")
        found = addresses[id(argument)] = argument.ctypes.data
    return found
