"""The CUDA backend: CuPy. The only module that imports cupy, and only when a CuPy backend is built."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gpubp.backends.base import AtOnce, Backend, Memory, Multiprocessors, Program
from gpubp.backends.cupy_device import (
    bits_settings,
    require_capability,
    require_device,
    require_libraries,
    require_unforked,
)
from gpubp.backends.notices import warn_once
from gpubp.backends.nvrtc import INSTALL
from gpubp.errors import BackendError

USUAL_CLOCK = 1.7e9  # cycles a second


class CupyBackend:
    """Arrays in a CUDA device's memory. ForkedError in a process that was forked later."""

    name = "cupy"
    on_host = False
    lanes_in_registers = True
    at_once = AtOnce(values=1 << 28, panel=1 << 24, prediction_bytes=64 << 20, networks=4096)

    def __init__(self, reason: str = "asked for", device: int | None = None) -> None:
        """device: its number; None is CuPy's current one. Raises BackendError where it cannot be used, and
        SettingsError where there is no such device.
        """
        self.reason = reason
        self._missing: str | None = None
        self._looked = False
        self._cupy = _import_cupy()
        self.number, self.count = require_device(self._cupy, device)
        self._properties: Mapping[str, Any] = self._cupy.cuda.runtime.getDeviceProperties(self.number)
        require_capability(self._cupy, self._properties)
        require_libraries(self.xp, self.number)
        self.watchdog = bool(self._properties["kernelExecTimeoutEnabled"])
        self._programs: dict[Any, Program] = {}

    @property
    def xp(self) -> Any:
        """CuPy, on this backend's device: it becomes the current one of this thread."""
        require_unforked()
        runtime = self._cupy.cuda.runtime
        if runtime.getDevice() != self.number:
            runtime.setDevice(self.number)
        return self._cupy

    def shares_arrays(self, other: Backend) -> bool:
        return other.name == self.name

    def to_device(self, array: Any, dtype: Any = None) -> Any:
        if isinstance(array, self.xp.ndarray):
            if array.device.id != self.number:
                array = array.copy()  # to the current device
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
        kept = int(self.xp.get_default_memory_pool().free_bytes())  # by CuPy, for arrays to come
        return Memory(free=free + kept, total=total)

    def device(self) -> str:
        properties = self._properties
        words = f"{properties['name'].decode()}, compute capability {properties['major']}.{properties['minor']}"
        if self.count > 1:
            words += f", device {self.number} of 0 to {self.count - 1}"
        return words + (", with a watchdog that ends launches of seconds" if self.watchdog else "")

    def bits_settings(self) -> tuple[str, ...]:
        return bits_settings()

    def multiprocessors(self) -> Multiprocessors:
        properties = self._properties
        clock = 1e3 * properties.get("clockRate", 0) or USUAL_CLOCK  # kHz; CUDA 13's own properties have none
        shared = properties["sharedMemPerMultiprocessor"], properties["sharedMemPerBlockOptin"]
        return Multiprocessors(int(properties["multiProcessorCount"]), clock, *shared)

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

        xp = self.xp
        key = source, tuple(sorted((name, str(value)) for name, value in definitions.items()))
        if key not in self._programs:  # read, checked and loaded once, however many trainings follow
            self._programs[key] = CupyProgram(xp, source, definitions)
        return self._programs[key]

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
