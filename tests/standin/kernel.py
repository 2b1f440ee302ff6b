"""A compiled kernel (nvrtc.py), launched on device arrays, its arguments checked strictly.

cuda-core passes what it is given: a Python int as an address where the kernel takes 4 bytes, any address for any
pointer. Here each of these is a TypeError.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from standin.array import Address
from standin.cuda import PROPERTIES
from standin.state import STATE, CUDARuntimeError

MOST_PARAMETERS = 128
LARGEST_GRID = (2**31 - 1, 65535, 65535)
LARGEST_BLOCK = (1024, 1024, 64)
KINDS = {"f": "float", "i": "signed integer", "u": "unsigned integer", "b": "bool"}
REGISTERS = 128  # that the stand-in takes a thread of any kernel to need


class Parameter(ctypes.Structure):
    """One of a kernel's parameters: cuda_on_cpu.h says what the fields are."""

    _fields_ = (
        ("kind", ctypes.c_char),
        ("size", ctypes.c_int),
        ("pointee", ctypes.c_char),
        ("pointee_size", ctypes.c_int),
    )


class Kernel:
    """`cuda.core.Kernel`: a kernel of a library. It has run when its launch returns."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        if not hasattr(library, f"launch_{name}"):
            raise CUDARuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found: {name}")
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
        self.most_shared: int = PROPERTIES["sharedMemPerBlock"]
        self.handle = self  # what cuda.bindings.driver takes
        self.occupancy = Occupancy(self)

    def start(
        self, grid: tuple[int, ...], block: tuple[int, ...], shared: int, cooperative: bool, arguments: tuple[Any, ...]
    ) -> None:
        dimensions = (ctypes.c_uint * 6)(*self._three("grid", grid, LARGEST_GRID), *self._block(block))
        limit = min(self.most_shared, PROPERTIES["sharedMemPerBlockOptin"])
        if not 0 <= shared <= limit:
            raise ValueError(f"{self.name}: {shared} bytes of shared memory; at most {limit} can be had")
        if cooperative:
            self._require_resident(int(np.prod(grid)), int(np.prod(block)), shared)
        if len(arguments) != len(self.parameters):
            raise TypeError(f"{self.name} has {len(self.parameters)} parameters: got {len(arguments)} arguments")
        values = [self._value(i, argument) for i, argument in enumerate(arguments)]
        addresses = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        STATE.require_driver()
        STATE.counters.launches += 1
        failure = self._launch(dimensions, shared, cooperative, addresses)
        if failure is not None:
            raise CUDARuntimeError(f"cudaErrorLaunchFailure: {self.name}: {failure.decode()}")

    def _require_resident(self, blocks: int, threads: int, shared: int) -> None:
        most = self.occupancy.max_active_blocks_per_multiprocessor(threads, shared) * PROPERTIES["multiProcessorCount"]
        if blocks > most:
            raise ValueError(f"The specified grid size ({blocks} * 1 * 1) exceeds the limit ({most})")

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
        if type(argument) is int and argument == 0:
            return 0
        if not isinstance(argument, Address):
            raise TypeError(
                f"{self.name}, argument {i}: {type(argument).__name__}; a pointer takes a device array's data.ptr, or "
                "the int 0 for null"
            )
        array = argument.array
        pointee, size = self.parameters[i].pointee.decode(), self.parameters[i].pointee_size
        if array.dtype.kind != pointee or array.dtype.itemsize != size:
            raise TypeError(
                f"{self.name}, argument {i}: an array of {array.dtype} for a pointer to {8 * size}-bit "
                f"{KINDS.get(pointee, 'other')}"
            )
        if not array.flags.c_contiguous:
            raise ValueError(f"{self.name}, argument {i}: a kernel sees an array's memory, not its strides")
        return int(argument)


class Occupancy:
    """`Kernel.occupancy`, by shared memory, threads and the registers that the stand-in says a thread has."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def max_active_blocks_per_multiprocessor(self, block_size: int, dynamic_shared_memory_size: int) -> int:
        if dynamic_shared_memory_size > self.kernel.most_shared:
            return 0
        shared = dynamic_shared_memory_size + 1024  # which every block takes besides
        return min(
            PROPERTIES["maxThreadsPerMultiProcessor"] // block_size,
            PROPERTIES["regsPerMultiprocessor"] // (REGISTERS * block_size),
            PROPERTIES["sharedMemPerMultiprocessor"] // shared,
        )
