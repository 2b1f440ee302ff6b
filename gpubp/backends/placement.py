"""Where arrays are: on the host, or on a CUDA device whose memory this program can reach; and where to compute."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from gpubp.backends import ENVIRONMENT_VARIABLE, Array, Backend, get_backend

CUDA_DEVICE_TYPES = (2, 13)  # DLPack's kDLCUDA and kDLCUDAManaged
SMALL_WORK = 1e7  # operations that a CPU is done with before a GPU's kernels are launched; an estimate


def is_on_device(array: Any) -> bool:
    """Whether it is an array in a CUDA device's memory: CuPy's, or anybody's that says so by one of the protocols."""
    if isinstance(array, np.ndarray):
        return False
    cupy = sys.modules.get("cupy")  # whoever has one of its arrays has imported it
    if cupy is not None and isinstance(array, cupy.ndarray):
        return True
    if hasattr(array, "__cuda_array_interface__"):
        return True
    return hasattr(array, "__dlpack_device__") and int(array.__dlpack_device__()[0]) in CUDA_DEVICE_TYPES


def to_device(backend: Backend, array: Any) -> Array:
    """The device array as one of the backend's, without a copy."""
    if isinstance(array, backend.xp.ndarray):
        return array
    if hasattr(array, "__cuda_array_interface__"):
        return backend.xp.asarray(array)
    return backend.xp.from_dlpack(array)


def backend_of(array: Any) -> Backend:
    """The CuPy backend on the device that the array is on."""
    backend = get_backend("cupy")
    number = int(to_device(backend, array).device.id)
    return backend if number == getattr(backend, "number", number) else get_backend("cupy", number)


def to_host(array: Any) -> Any:
    """NumPy's array for one on a device or one that is readable by DLPack alone; anything else as it is."""
    if is_on_device(array):
        backend = backend_of(array)
        return backend.to_host(to_device(backend, array))
    if hasattr(array, "__dlpack__") and not hasattr(array, "__array__"):
        return np.from_dlpack(array)
    return array


def choose_backend(name: str, on_device: Array | None, operations: float) -> Backend:
    """The backend for work of so many operations (of one update, or of one prediction).

    on_device: the data, if that is on a device.

    "auto": where the data is, if that is a device; else the environment variable's choice; else NumPy for small work,
    and for more what `get_backend` finds. The choice depends on the work's size alone.
    """
    if name != "auto":
        return get_backend(name)
    if on_device is not None:
        return backend_of(on_device)
    if os.environ.get(ENVIRONMENT_VARIABLE):
        return get_backend(None)
    return get_backend("numpy" if operations < SMALL_WORK else "auto")
