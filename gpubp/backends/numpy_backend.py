"""The CPU backend: NumPy."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.backends.base import AtOnce, Backend, Memory, Program
from gpubp.backends.notices import warn_once
from gpubp.errors import BackendError

FEW_NUMBERS = 256
CACHE_LINE = 64  # bytes; NumPy's own arrays begin at multiples of 16


class NumpyBackend:
    """Arrays in the host's memory; transfers are no copies unless the dtype changes."""

    name = "numpy"
    on_host = True
    lanes_in_registers = False
    at_once = AtOnce(values=1 << 20, panel=1 << 19, prediction_bytes=256 << 10, networks=64)
    xp: Any = np
    watchdog = False

    def __init__(self, reason: str = "asked for", threads: int | None = None) -> None:
        """threads: that kernels run on, side by side; None for one on each core. The bits are the same."""
        self.reason = reason
        self.threads = threads

    def shares_arrays(self, other: Backend) -> bool:
        return other.name == self.name

    def to_device(self, array: Any, dtype: Any = None) -> np.ndarray:
        return np.asarray(array, dtype=dtype, order="C")  # np.ascontiguousarray would make 0-d arrays 1-d

    def to_host(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        room = np.empty(size + CACHE_LINE, dtype=np.uint8)
        start = -room.ctypes.data % CACHE_LINE
        return room[start : start + size].view(dtype).reshape(shape)

    def synchronize(self) -> None:
        """NumPy is always done."""

    def memory(self) -> Memory:
        page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
        if not page:  # Windows has no sysconf
            return Memory(free=0, total=0)
        return Memory(
            free=page * os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else 0,
            total=page * os.sysconf("SC_PHYS_PAGES"),
        )

    def device(self) -> str:
        return f"{_processor_name()}, {os.cpu_count()} logical cores"

    def multiprocessors(self) -> None:
        return None

    def bits_settings(self) -> tuple[str, ...]:
        return ()

    def quiet(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")

    def take_rows(self, array: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
        # mode="clip" writes straight into `out`; the default mode would go through a buffer
        np.take(array, indices, axis=0, out=out, mode="clip")

    def compiler_missing(self) -> str | None:
        from gpubp.backends.host_compiler import why_not_compile

        reason = why_not_compile()
        if reason is not None:
            warn_once(f"Training and prediction are slower here, without compiled kernels: {reason}")
        return reason

    def compiling_failed(self, error: BackendError) -> None:
        from gpubp.backends.host_compiler import give_up

        give_up(str(error))
        self.compiler_missing()

    def compile(self, source: str, definitions: Mapping[str, object]) -> Program:
        from gpubp.backends.host_program import loaded_program

        return loaded_program(source, definitions, self.threads)

    def erf(self, array: np.ndarray, out: np.ndarray) -> None:
        from scipy.special import erf

        erf(array, out=out)

    def logistic(self, array: np.ndarray, out: np.ndarray) -> None:
        # SciPy's one call is five times as fast for the few numbers of a network's small batch, NumPy's vectorised
        # exp three times as fast for many. The choice looks at one network's share (the first axis counts networks),
        # so that its result does not depend on how many there are.
        if array.size <= FEW_NUMBERS * len(array):
            _expit()(array, out=out)
        else:
            np.negative(array, out=out)
            with np.errstate(over="ignore"):  # 1 / (1 + inf) is the right 0
                np.exp(out, out=out)
            out += 1.0
            np.reciprocal(out, out=out)


@lru_cache(maxsize=1)  # not a cached_property, which up to Python 3.11 holds a lock that a forked process may inherit
def _expit() -> Callable[..., Any]:
    from scipy.special import expit

    return expit


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
