"""Compiled kernels on the CPU: a range of networks is cut into pieces, and threads call the C function for each."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.backends.host_compiler import Isa, compile_library, find_compiler
from gpubp.backends.host_threads import run_together, share_out
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
        self._constants: dict[str, int] = {}
        self._functions: dict[str, Callable[..., Any]] = {}  # by name, with their ctypes signatures
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

    def constant(self, name: str) -> int | None:
        found = self._constants.get(name)
        if found is None:
            found = self._constants[name] = self.library.function(name, (), ctypes.c_int)()
        return found

    def shared_room(self) -> int:
        return 0

    def resident_blocks(self, name: str, shared_bytes: int = 0) -> int:
        return 0

    def launch(
        self,
        name: str,
        calls: Sequence[Sequence[Any]],
        meeting: np.ndarray | None = None,
        shared_bytes: int = 0,
        team_blocks: int = 1,
    ) -> float:
        """Call the function once for each argument list: arrays as pointers, None as a null pointer, ints.

        The calls run side by side (ctypes lets go of the interpreter's lock); all are done on return.
        """
        if not calls:
            return 1.0
        function = self._functions.get(name)
        if function is None:  # a kernel's parameters are the same in all calls
            function = self.library.function(name, [_ctype(argument) for argument in calls[0]])
            self._functions[name] = function
        addresses: dict[int, int] = {}  # the calls share most of their arrays
        bound = [[_value(argument, addresses) for argument in call] for call in calls]
        if meeting is not None:
            return run_together(function, bound, meeting, calls)
        if self.threads == 1 or len(bound) == 1:
            for call in bound:
                function(*call)
        else:
            share_out(function, bound, self.threads, calls)
        return 1.0


def loaded_program(source: str, definitions: Mapping[str, object], threads: int | None = None) -> HostProgram:
    """The program, compiled and loaded when it is first asked for in this process: small trainings are many calls.

    threads: that its calls run on; None for one on each core.
    """
    surroundings = (find_compiler(), os.environ.get(CACHE_VARIABLE), threads or available_cores())
    key = (source, tuple(sorted((name, str(value)) for name, value in definitions.items())), surroundings)
    if key not in _loaded:
        if len(_loaded) >= MOST_LOADED:
            _loaded.pop(next(iter([*_loaded])), None)  # a copy: other threads load programs, too
        _loaded[key] = HostProgram(source, definitions, threads=threads)
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
