"""The CUDA backend: CuPy. The only module that imports cupy, and only when a CuPy backend is built."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gpubp.backends.base import ForkedError, Memory, Multiprocessors, Program
from gpubp.backends.notices import warn_once
from gpubp.backends.nvrtc import INSTALL
from gpubp.errors import BackendError

NO_DRIVER = (
    "CuPy is installed, but there is no usable NVIDIA driver (none, or one too old for this CuPy). "
    "Install or update the driver (`nvidia-smi` shows it), or choose --backend numpy."
)
NO_DEVICE = (
    "CuPy and a driver are installed, but no CUDA device is visible. Check `nvidia-smi` and "
    "CUDA_VISIBLE_DEVICES, or choose --backend numpy."
)
FORKED = (
    "CUDA cannot be used in this process: it was forked from one that had used CUDA before, and the driver does not go "
    "along with a fork. Start such processes by spawn (multiprocessing.get_context('spawn'), joblib's backend 'loky'), "
    "or use the GPU in the forked processes only, or choose --backend numpy there."
)

_first_process: int | None = None  # that asked the driver for something: its forked children cannot


class CupyBackend:
    """Arrays in a CUDA device's memory (the current device of CuPy). ForkedError in a process that was forked later."""

    name = "cupy"

    def __init__(self, reason: str = "asked for") -> None:
        self.reason = reason
        self._missing: str | None = None
        self._looked = False
        self._cupy = _import_cupy()
        _require_device(self._cupy)

    @property
    def xp(self) -> Any:
        _require_unforked()
        return self._cupy

    def to_device(self, array: Any, dtype: Any = None) -> Any:
        if isinstance(array, self.xp.ndarray):
            return self.xp.ascontiguousarray(array, dtype=dtype)
        # Convert on the host first, so that only what is needed travels, and travels as one block.
        return self.xp.asarray(np.asarray(array, dtype=dtype, order="C"))

    def to_host(self, array: Any) -> np.ndarray:
        return self.xp.asnumpy(array)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.xp.empty(shape, dtype=dtype)  # CUDA's allocations begin at multiples of 256 bytes at the least

    def synchronize(self) -> None:
        self.xp.cuda.get_current_stream().synchronize()

    def memory(self) -> Memory:
        free, total = self.xp.cuda.runtime.memGetInfo()
        return Memory(free=free, total=total)

    def device(self) -> str:
        properties = self.xp.cuda.runtime.getDeviceProperties(self.xp.cuda.runtime.getDevice())
        name = properties["name"].decode()
        return f"{name}, compute capability {properties['major']}.{properties['minor']}"

    def multiprocessors(self) -> Multiprocessors:
        properties = self.xp.cuda.runtime.getDeviceProperties(self.xp.cuda.runtime.getDevice())
        names = "multiProcessorCount", "sharedMemPerMultiprocessor", "sharedMemPerBlockOptin"
        return Multiprocessors(*(int(properties[name]) for name in names))

    def quiet(self) -> AbstractContextManager[Any]:
        return nullcontext()  # a device raises no floating-point warnings

    def take_rows(self, array: Any, indices: Any, out: Any) -> None:
        self.xp.take(array, indices, axis=0, out=out)

    def compiler_missing(self) -> str | None:
        if not self._looked:
            from gpubp.backends.cupy_program import why_not_compile

            self._missing, self._looked = why_not_compile(self.xp), True
            if self._missing is not None:
                warn_once(f"Training and prediction are slower here, without compiled kernels: {self._missing}")
        return self._missing

    def compiling_failed(self, error: BackendError) -> None:
        warn_once(f"Training and prediction are slower here, without compiled kernels: {error}")

    def compile(self, source: str, definitions: Mapping[str, object]) -> Program:
        from gpubp.backends.cupy_program import CupyProgram

        return CupyProgram(self.xp, source, definitions)

    def erf(self, array: Any, out: Any) -> None:
        from cupyx.scipy.special import erf

        erf(array, out)

    def logistic(self, array: Any, out: Any) -> None:
        from cupyx.scipy.special import expit

        expit(array, out)


def _import_cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            raise BackendError(f"CuPy is not installed. {INSTALL}") from error
        cause = error.__cause__ or error  # CuPy's own ImportError is a banner of many lines around its cause
        reason = " ".join(str(cause).split()) or type(cause).__name__
        raise BackendError(
            f"CuPy is installed, but cannot be imported ({reason}). Uninstall every cupy package. {INSTALL}"
        ) from error
    return cupy


def _require_unforked() -> None:
    if _first_process not in (None, os.getpid()):
        raise ForkedError(FORKED)


def _require_device(cupy: Any) -> None:
    """Tell a missing driver from a missing device; both leave `import cupy` working."""
    global _first_process
    _require_unforked()
    runtime = cupy.cuda.runtime
    try:
        if runtime.getDeviceCount() == 0:
            raise BackendError(NO_DEVICE)
    except runtime.CUDARuntimeError as error:
        if "NoDevice" in str(error):
            raise BackendError(NO_DEVICE) from error
        if "InsufficientDriver" in str(error):
            raise BackendError(NO_DRIVER) from error
        if "InitializationError" in str(error):  # what the driver says after a fork, here of somebody else's use of it
            raise ForkedError(FORKED) from error
        raise BackendError(
            f"CuPy cannot reach a CUDA device: {error}. Check `nvidia-smi`, or choose --backend numpy."
        ) from error
    _first_process = os.getpid()
    try:
        runtime.memGetInfo()
    except runtime.CUDARuntimeError as error:
        raise BackendError(
            f"The CUDA device has no memory to give ({error}). Free it (`nvidia-smi` shows by whom it is "
            "used), or choose --backend numpy."
        ) from error
