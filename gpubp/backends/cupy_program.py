"""Compiled kernels on a CUDA device: NVRTC through CuPy's RawModule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# -fmad=false: a product and a sum are contracted into an fma only where the source says so, as on the CPU.
OPTIONS = ("-std=c++17", "-fmad=false")


class CupyProgram:
    """A compiled source: one thread for each network, THREADS (of the definitions) in a block."""

    def __init__(self, cupy: Any, source: str, definitions: Mapping[str, object]) -> None:
        self.cupy = cupy
        self.threads = int(str(definitions["THREADS"]))
        self.module = cupy.RawModule(code=source, options=(*OPTIONS, *define_options(definitions)))

    def pieces(self, first: int, last: int) -> list[tuple[int, int]]:
        return [(first, last)]

    def columns(self, first: int, last: int) -> int:
        return last - first

    def launch(self, name: str, calls: Sequence[Sequence[Any]]) -> None:
        """One launch for each argument list, in order, on the current stream; returns without waiting."""
        kernel = self.module.get_function(name)
        for call in calls:
            first, last = call[-2:]
            blocks = -(-(last - first) // self.threads)
            kernel((blocks,), (self.threads,), tuple(_argument(argument) for argument in call))


def define_options(definitions: Mapping[str, object]) -> tuple[str, ...]:
    """-D options: True and False as 1 and 0, sequences joined by commas."""
    return tuple(f"-D{name}={_text(value)}" for name, value in sorted(definitions.items()))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(str(item) for item in value)
    return str(value)


def _argument(argument: Any) -> Any:
    """Python ints as the kernel's 32-bit ints; None as a null pointer."""
    if argument is None:
        return np.uintp(0)
    return np.int32(argument) if isinstance(argument, int) else argument
