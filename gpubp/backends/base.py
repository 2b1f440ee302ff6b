"""The interface of a backend: one machine's arrays, transfers and memory.

A backend is passed explicitly to whatever computes. `backend.xp` is the array namespace (the NumPy-compatible
module), so reference kernels read like NumPy code and run on either machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gpubp.errors import BackendError, SettingsError
from gpubp.errors.suggestions import did_you_mean

Array = Any
"""An array of the backend at hand: `numpy.ndarray` or `cupy.ndarray`."""


@dataclass(frozen=True)
class Multiprocessors:
    """A CUDA device's: how many, their clock in cycles a second, and the bytes of shared memory of each, and of a block
    at the most."""

    count: int
    clock: float
    shared_bytes: int
    shared_bytes_of_block: int


@dataclass(frozen=True)
class Memory:
    """Bytes of the memory that the backend's arrays live in."""

    free: int
    total: int


@dataclass(frozen=True)
class AtOnce:
    """How much a machine works on at a time: what the caches of a CPU hold, what fills a GPU."""

    values: int  # numbers of a batch's values in all layers, of the networks that take an update together
    panel: int  # numbers of a layer's gradient that are taken together
    prediction_bytes: int  # of the values of the rows that are predicted together
    networks: int  # that differ in their numbers of epochs and begin together


class ForkedError(BackendError):
    """The device was in use before this process was forked from another, and cannot be used here."""


class TooFewThreads(Exception):
    """Calls that have to run at the same time: no thread could be started for one of them, so none was begun."""


class Program(Protocol):
    """A compiled kernel source, ready to run over ranges of networks."""

    def pieces(self, first: int, last: int) -> list[tuple[int, int]]:
        """The ranges that networks first … last−1 are best cut into, one call for each."""
        ...

    def team(self, n_networks: int) -> int:
        """How many calls may share the work of one network, where there are this many networks."""
        ...

    def columns(self, first: int, last: int) -> int:
        """How many networks' scratch memory the call for such a range needs at a time."""
        ...

    def constant(self, name: str) -> int | None:
        """What the source's function of this name says, without parameters; None on a device, which is not asked."""
        ...

    def shared_room(self) -> int:
        """Bytes of shared memory that a launch may give to each block; 0 where there is no such memory."""
        ...

    def resident_blocks(self, name: str, shared_bytes: int = 0) -> int:
        """How many blocks of a kernel run at the same time, each with so much shared memory; 0 where blocks are no
        thing of the machine's.
        """
        ...

    def launch(
        self,
        name: str,
        calls: Sequence[Sequence[Any]],
        meeting: Array | None = None,
        shared_bytes: int = 0,
        team_blocks: int = 1,
    ) -> float:
        """Run the kernel once for each argument list; the last two arguments are the range of networks.

        meeting: where calls meet that wait for each other, so that all of them have to run at the same time; its first
        number is how many they are (see block_cpu.h). Returns the least share of a processor that one of them had,
        else 1. TooFewThreads where they cannot; then nothing was done. shared_bytes: of shared memory for each block.
        team_blocks: on CUDA, so many blocks where there would be one; if several, all blocks of a call run at the same
        time, and may wait for each other. They must be no more than `resident_blocks`.
        """
        ...


class Backend(Protocol):
    """One machine that arrays live on.

    Code that depends on the machine asks for its traits. Its name is for people and for files:
    nothing outside this package compares it (tests/house/test_rooms.py).
    """

    name: str
    on_host: bool  # whether arrays are NumPy's: nothing has to travel, and the processor's cores work on them
    lanes_in_registers: bool  # whether a lane keeps its network in a thread's registers, not in a cache
    at_once: AtOnce
    reason: str  # why this backend was taken, in a few words
    watchdog: bool  # whether the driver ends a launch that takes seconds, as it does for displays and in WSL2

    @property
    def xp(self) -> Any:
        """The array namespace: the module numpy or cupy."""
        ...

    def shares_arrays(self, other: Backend) -> bool:
        """Whether the other backend's arrays can be used together with this one's."""
        ...

    def to_device(self, array: Array, dtype: Any = None) -> Array:
        """Copy a host array (or pass through an array that is here already), C-contiguous."""
        ...

    def to_host(self, array: Array) -> np.ndarray:
        """The array's values as a NumPy array; waits for the device. On the host itself it may be the same memory."""
        ...

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array of whatever values, which begins with a cache line, so that vectors do not lie across two."""
        ...

    def synchronize(self) -> None:
        """Wait until everything asked of the device is done."""
        ...

    def memory(self) -> Memory: ...

    def device(self) -> str:
        """The device in words, for people."""
        ...

    def multiprocessors(self) -> Multiprocessors | None:
        """Those of a CUDA device; None for a CPU."""
        ...

    def bits_settings(self) -> tuple[str, ...]:
        """Settings of the environment that change the array engine's bits, as NAME=VALUE."""
        ...

    def quiet(self) -> AbstractContextManager[Any]:
        """Within it, overflow and invalid operations give inf and NaN without a warning."""
        ...

    def take_rows(self, array: Array, indices: Array, out: Array) -> None:
        """out[...] = array[indices] along the first axis; the indices are known to be in range."""
        ...

    def compiler_missing(self) -> str | None:
        """Why nothing can be compiled here, in words; None if it can. The one place that knows: asked only where a
        kernel would be taken, since finding out may take a compilation, and a reason is a warning as well, once.
        """
        ...

    def compiling_failed(self, error: BackendError) -> None:
        """A kernel that nobody asked for by name could not be had: warn of it, and try no more on a CPU."""
        ...

    def compile(self, source: str, definitions: Mapping[str, object]) -> Program:
        """Compile C++ of the kernels' dialect for this machine, or take it from the cache. May raise BackendError."""
        ...

    def erf(self, array: Array, out: Array) -> None:
        """The error function, which neither array namespace has."""
        ...

    def logistic(self, array: Array, out: Array) -> None:
        """1 / (1 + exp(−x)), 0 and 1 where that is beyond the dtype; out may be the array itself."""
        ...


DTYPES = ("float32", "float64")


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype policy: float32 (the default everywhere) or float64, and nothing else."""
    try:
        # of texts, NumPy takes many, and means float64 by "float"; None, too, is float64, also where it compares dtypes
        name = dtype if dtype is None or isinstance(dtype, str) else np.dtype(dtype).name
    except Exception:  # NumPy reads what it is given as a list, a tuple, …, each of which can fail in its own way
        name = "unknown"
    if name not in DTYPES:
        hint = did_you_mean(dtype, DTYPES, "dtype")
        raise SettingsError(f"dtype {dtype!r:.60} is not supported: choose 'float32' or 'float64'.{hint}")
    return np.dtype(name)
