"""Floor 0: the machines that arrays live on. `get_backend` chooses one."""

from __future__ import annotations

import os
import warnings

import numpy as np

from gpubp.backends.base import Array, Backend, ForkedError, Memory, Program, float_dtype
from gpubp.backends.numpy_backend import NumpyBackend
from gpubp.errors import BackendError, SettingsError
from gpubp.errors.suggestions import unknown

__all__ = ["BACKENDS", "Array", "Backend", "Memory", "Program", "float_dtype", "get_backend"]

BACKENDS = ("auto", "numpy", "cupy")
ENVIRONMENT_VARIABLE = "GPUBP_BACKEND"
LEAST_FREE_MEMORY = 64 << 20  # bytes; CuPy's own context and libraries need about as much


def get_backend(name: str | Backend | None = None, device: int | None = None) -> Backend:
    """The backend called `name`: "auto", "numpy" or "cupy"; of several CUDA devices the one with the number `device`.

    None means the environment variable GPUBP_BACKEND, and "auto" where that is not set. "auto" takes CuPy
    only where it imports, sees a device and has memory, and NumPy otherwise; `backend.reason` says why. A process
    that was forked from one that had used CUDA cannot use it: "auto" takes NumPy there, with a warning. A backend
    object is returned as it is. device: where everything happens, whatever is CuPy's current device (None: that one).

    Raises BackendError if "cupy" is asked for and cannot be used, SettingsError for an unknown name or device.
    """
    if device is not None and (not is_number(device) or device < 0):
        raise SettingsError(f"device {device!r}: the number of a CUDA device, from 0 on, is needed.")
    if name is not None and not isinstance(name, str):
        if device is not None and device != getattr(name, "number", None):
            raise SettingsError(f"device {device} cannot be had of a backend that is there already: name it instead.")
        return name
    if name is None:
        name = os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
        origin = f" (from the environment variable {ENVIRONMENT_VARIABLE})"
    else:
        origin = ""
    if name == "numpy":
        if device is not None:
            raise SettingsError(f"device {device} is a CUDA device, and the backend numpy has none: choose cupy.")
        return NumpyBackend("asked for" + origin)
    if name == "cupy":
        return _cupy("asked for" + origin, device)
    if name == "auto":
        try:
            backend = _cupy("a CUDA device is available", device)
        except BackendError as error:
            if isinstance(error, ForkedError):  # there is a device, but not for this process: nothing to pass over
                warnings.warn(f"The CPU is used. {error}", stacklevel=2)
            return NumpyBackend(str(error).split(". ")[0].rstrip("."))
        free = backend.memory().free
        if free < LEAST_FREE_MEMORY:
            return NumpyBackend(f"the CUDA device has only {free >> 20} MiB of free memory")
        return backend
    raise SettingsError(unknown("backend", name, BACKENDS, origin))


def is_number(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _cupy(reason: str, device: int | None) -> Backend:
    from gpubp.backends.cupy_backend import CupyBackend

    return CupyBackend(reason, device)
