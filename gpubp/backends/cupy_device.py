"""Checks that a CUDA device and its libraries have all that CuPy needs, and says in words what they lack."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from gpubp.backends.base import ForkedError
from gpubp.backends.nvrtc import INSTALL, too_old_remedy
from gpubp.errors import BackendError, SettingsError

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
OLDEST = {13: 75}  # the oldest compute capability that a CUDA version serves
LIBRARIES = {"nvrtc": "NVRTC, CUDA's runtime compiler", "cublas": "cuBLAS, CUDA's library for products"}
# Environment variables that change the bits of CuPy's own products and sums, and what they say where they change none.
BITS_VARIABLES = {
    "CUPY_TF32": ("0",),
    "NVIDIA_TF32_OVERRIDE": ("0",),
    "CUPY_ACCELERATORS": (),
    "CUBLAS_WORKSPACE_CONFIG": (),
}

_computed: WeakKeyDictionary[Any, set[int]] = (
    WeakKeyDictionary()
)  # devices that something was computed on, of each CuPy
_first_process: int | None = None  # that asked the driver for something: its forked children cannot


def require_unforked() -> None:
    if _first_process not in (None, os.getpid()):
        raise ForkedError(FORKED)


def require_device(cupy: Any, device: int | None) -> tuple[int, int]:
    """The device's number, made current, and how many there are. device: None is CuPy's current one.

    Tells a missing driver from a missing device; both leave `import cupy` working. Raises BackendError, and
    SettingsError where there is no device of this number.
    """
    global _first_process
    require_unforked()
    runtime = cupy.cuda.runtime
    try:
        count = int(runtime.getDeviceCount())
        if count == 0:
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
    number = int(runtime.getDevice() if device is None else device)
    if number >= count:
        there = "only device 0" if count == 1 else f"devices 0 to {count - 1}"
        raise SettingsError(f"There is no CUDA device {number}: this machine has {there}.")
    try:
        runtime.setDevice(number)
        runtime.memGetInfo()
    except runtime.CUDARuntimeError as error:
        raise BackendError(
            f"The CUDA device has no memory to give ({error}). Free it (`nvidia-smi` shows by whom it is "
            "used), or choose --backend numpy."
        ) from error
    return number, count


def require_capability(cupy: Any, properties: Mapping[str, Any]) -> None:
    """CuPy's own kernels are compiled for the device, too: where CUDA has dropped it, it can compute nothing."""
    major = int(cupy.cuda.runtime.runtimeGetVersion()) // 1000
    capability, oldest = 10 * properties["major"] + properties["minor"], OLDEST.get(major, 0)
    if capability < oldest:
        raise BackendError(
            f"CUDA {major} has dropped this CUDA device: its compute capability is {capability / 10:.1f}, and from "
            f"{oldest / 10:.1f} on it is served. {too_old_remedy(major)}"
        )


def require_libraries(cupy: Any, device: int) -> None:
    """CuPy is of no use without NVRTC, cuBLAS and the runtime's headers: load the first two, and compute something on
    the device, which is the current one. Once it could, a process does not ask again.
    """
    if device in _computed.setdefault(cupy, set()):
        return
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib  # as CuPy does itself, from 14 on
    except ImportError:
        looked_for: dict[str, str] = {}
    else:
        looked_for = LIBRARIES
    for name, words in looked_for.items():
        try:
            load_nvidia_dynamic_lib(name)
        except RuntimeError as error:
            raise BackendError(f"CuPy lacks {words} ({_in_a_line(error)}). {INSTALL}") from error
    try:
        cupy.arange(2) * 2
    except Exception as error:
        if "OutOfMemory" in type(error).__name__:
            return  # a full device is no broken one
        what = "CUDA's headers" if "cannot open source file" in str(error) else "something that it needs"
        raise BackendError(f"CuPy cannot compute: it lacks {what} ({_in_a_line(error)}). {INSTALL}") from error
    _computed[cupy].add(device)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ")


def bits_settings() -> tuple[str, ...]:
    """NAME=VALUE of the variables that are set, and change bits."""
    given = {name: os.environ.get(name, "").strip() for name in BITS_VARIABLES}
    return tuple(f"{name}={text}" for name, text in given.items() if text and text not in BITS_VARIABLES[name])
