"""Floor 0: the machines that arrays live on. `get_backend` chooses one."""

from __future__ import annotations

import os
import warnings

from gpubp.backends.base import Array, Backend, ForkedError, Memory, Program, float_dtype
from gpubp.backends.numpy_backend import NumpyBackend
from gpubp.errors import BackendError, SettingsError
from gpubp.suggestions import unknown

__all__ = ["BACKENDS", "Array", "Backend", "Memory", "Program", "float_dtype", "get_backend"]

BACKENDS = ("auto", "numpy", "cupy")
ENVIRONMENT_VARIABLE = "GPUBP_BACKEND"
LEAST_FREE_MEMORY = 64 << 20  # bytes; CuPy's own context and libraries need about as much


def get_backend(name: str | Backend | None = None) -> Backend:
    """The backend called `name`: "auto", "numpy" or "cupy".

    None means the environment variable GPUBP_BACKEND, and "auto" where that is not set. "auto" takes CuPy
    only where it imports, sees a device and has memory, and NumPy otherwise; `backend.reason` says why. A process
    that was forked from one that had used CUDA cannot use it: "auto" takes NumPy there, with a warning. A backend
    object is returned as it is.

    Raises BackendError if "cupy" is asked for and cannot be used, SettingsError for an unknown name.
    """
    if name is not None and not isinstance(name, str):
        return name
    if name is None:
        name = os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
        origin = f" (from the environment variable {ENVIRONMENT_VARIABLE})"
    else:
        origin = ""
    if name == "numpy":
        return NumpyBackend("asked for" + origin)
    if name == "cupy":
        return _cupy("asked for" + origin)
    if name == "auto":
        try:
            backend = _cupy("a CUDA device is available")
        except BackendError as error:
            if isinstance(error, ForkedError):  # there is a device, but not for this process: nothing to pass over
                warnings.warn(f"The CPU is used. {error}", stacklevel=2)
            return NumpyBackend(str(error).split(". ")[0].rstrip("."))
        free = backend.memory().free
        if free < LEAST_FREE_MEMORY:
            return NumpyBackend(f"the CUDA device has only {free >> 20} MiB of free memory")
        return backend
    raise SettingsError(unknown("backend", name, BACKENDS, origin))


def _cupy(reason: str) -> Backend:
    from gpubp.backends.cupy_backend import CupyBackend

    return CupyBackend(reason)
