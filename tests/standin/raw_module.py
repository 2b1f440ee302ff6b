"""`cupy.RawModule` and its kernels: compiled for the CPU (nvrtc.py), launched on device arrays, checked strictly.

CuPy passes what it is given: a Python int as 8 bytes where the kernel takes 4, the address of any array for any
pointer, a random address for None. Here each of these is a TypeError.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from standin.array import ndarray
from standin.cuda import PROPERTIES
from standin.nvrtc import compile_using_nvrtc
from standin.state import STATE, CUDARuntimeError

MOST_PARAMETERS = 128
LARGEST_GRID = (2**31 - 1, 65535, 65535)
LARGEST_BLOCK = (1024, 1024, 64)
KINDS = {"f": "float", "i": "signed integer", "u": "unsigned integer", "b": "bool"}


class Parameter(ctypes.Structure):
    """One of a kernel's parameters: cuda_on_cpu.h says what the fields are."""

    _fields_ = (
        ("kind", ctypes.c_char),
        ("size", ctypes.c_int),
        ("pointee", ctypes.c_char),
        ("pointee_size", ctypes.c_int),
    )


class RawModule:
    """From a source, with CuPy's own options added; or from the path of what `compile_using_nvrtc` gave."""

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        name_expressions: Sequence[str] | None = None,
    ) -> None:
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if backend != "nvrtc" or name_expressions is not None:
            raise NotImplementedError('the stand-in has the backend "nvrtc" and extern "C" kernels')
        if not isinstance(options, tuple):
            raise TypeError(f"options must be a tuple, not {type(options).__name__}")
        if path is not None and not isinstance(path, str):
            raise TypeError(f"path must be a str, not {type(path).__name__}")
        self.code, self.path, self.options = code, path, options
        self.library: ctypes.CDLL | None = None

    def get_function(self, name: str) -> RawKernel:
        """Compiles at the first call, as CuPy does."""
        if self.library is None:
            self.library = self._load()
        if not hasattr(self.library, f"launch_{name}"):
            raise CUDARuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}")
        return RawKernel(self.library, name)

    def _load(self) -> ctypes.CDLL:
        if self.path is not None:
            return ctypes.CDLL(self.path)
        assert self.code is not None
        built, _ = compile_using_nvrtc(self.code, (*self.options, "-ftz=true"))  # CuPy adds it, and the last one counts
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "kernel.so"
            path.write_bytes(built)
            return ctypes.CDLL(str(path))  # stays mapped when its file is gone


class RawKernel:
    """A kernel of a module, called as kernel(grid, block, args, shared_mem=0); it has run when the call returns."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self.name = name
        parameters = (Parameter * MOST_PARAMETERS)()
        count = library[f"describe_{name}"](parameters)
        self.parameters = list(parameters[:count])
        self.bounds: int = library[f"bounds_{name}"]() or PROPERTIES["maxThreadsPerBlock"]
        self._launch = library[f"launch_{name}"]
        self._launch.argtypes = [
            ctypes.POINTER(ctypes.c_uint), ctypes.c_size_t, ctypes.c_bool, ctypes.POINTER(ctypes.c_void_p)
        ]  # fmt: skip
        self._launch.restype = ctypes.c_char_p
        self.cooperative = False
        self.max_dynamic_shared_size_bytes: int = PROPERTIES["sharedMemPerBlock"]

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int = 0
    ) -> None:
        dimensions = (ctypes.c_uint * 6)(*self._three("grid", grid, LARGEST_GRID), *self._block(block))
        limit = min(self.max_dynamic_shared_size_bytes, PROPERTIES["sharedMemPerBlockOptin"])
        if not 0 <= shared_mem <= limit:
            raise ValueError(f"{self.name}: {shared_mem} bytes of shared memory; at most {limit} can be had")
        if not isinstance(args, tuple) or len(args) != len(self.parameters):
            found = len(args) if isinstance(args, tuple) else type(args).__name__
            raise TypeError(f"{self.name} has {len(self.parameters)} parameters: got {found} arguments, not as a tuple")
        values = [self._value(i, argument) for i, argument in enumerate(args)]
        addresses = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        STATE.require_driver()
        STATE.counters.launches += 1
        failure = self._launch(dimensions, shared_mem, self.cooperative, addresses)
        if failure is not None:
            raise CUDARuntimeError(f"cudaErrorLaunchFailure: {self.name}: {failure.decode()}")

    def _three(self, what: str, size: tuple[int, ...], largest: tuple[int, ...]) -> tuple[int, ...]:
        if not isinstance(size, tuple) or not all(type(n) is int for n in size) or not 1 <= len(size) <= 3:
            raise TypeError(f"{self.name}: {what} {size!r} must be a tuple of 1 to 3 ints")
        size = (*size, 1, 1)[:3]
        if not all(1 <= n <= most for n, most in zip(size, largest, strict=True)):
            raise ValueError(f"{self.name}: {what} {size} goes beyond 1 to {largest}")
        return size

    def _block(self, block: tuple[int, ...]) -> tuple[int, ...]:
        size = self._three("block", block, LARGEST_BLOCK)
        if size[0] * size[1] * size[2] > self.bounds:
            raise ValueError(f"{self.name}: a block of {size} has more threads than its launch bounds, {self.bounds}")
        return size

    def _value(self, i: int, argument: Any) -> np.ndarray:
        """The argument's bytes, as an array of one element, alive until the launch is over."""
        parameter = self.parameters[i]
        kind = parameter.kind.decode()
        if kind == "p":
            return np.array([self._address(i, argument)], dtype=np.uint64)
        if kind not in KINDS:
            raise NotImplementedError(f"{self.name}, parameter {i}: the stand-in passes numbers and pointers only")
        wanted = f"a NumPy scalar, {8 * parameter.size}-bit {KINDS[kind]}"
        if not isinstance(argument, np.generic):
            raise TypeError(f"{self.name}, argument {i}: {type(argument).__name__}; the parameter takes {wanted}")
        if argument.dtype.kind != kind or argument.dtype.itemsize != parameter.size:
            raise TypeError(f"{self.name}, argument {i}: {argument.dtype}; the parameter takes {wanted}")
        return np.array([argument])

    def _address(self, i: int, argument: Any) -> int:
        if isinstance(argument, np.uintp) and argument == 0:
            return 0
        if not isinstance(argument, ndarray):
            raise TypeError(
                f"{self.name}, argument {i}: {type(argument).__name__}; a pointer takes a device array, or "
                "np.uintp(0) for null (CuPy does not make a null pointer of None)"
            )
        pointee, size = self.parameters[i].pointee.decode(), self.parameters[i].pointee_size
        if argument.dtype.kind != pointee or argument.dtype.itemsize != size:
            raise TypeError(
                f"{self.name}, argument {i}: an array of {argument.dtype} for a pointer to {8 * size}-bit "
                f"{KINDS.get(pointee, 'other')}"
            )
        if not argument.flags.c_contiguous:
            raise ValueError(f"{self.name}, argument {i}: a kernel sees an array's memory, not its strides")
        return argument._memory.ctypes.data
