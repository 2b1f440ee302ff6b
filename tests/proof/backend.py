"""A backend whose kernels are the PTX that NVRTC makes for a GPU, interpreted; its arrays are NumPy's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from gpubp.backends import NumpyBackend, Program
from gpubp.backends.base import Multiprocessors
from gpubp.backends.cupy_program import CupyProgram
from gpubp.backends.nvrtc import definition_texts
from proof.machine import Machine, launch
from proof.nvrtc import compile_ptx
from proof.ptx import Kernel, parse


class PtxBackend(NumpyBackend):
    """`machines`: every launch so far. shared: bytes that a block may have; more: definitions that replace others."""

    def __init__(self, shared: int = 48 << 10, **more: object) -> None:
        super().__init__("the proof")
        self.most_shared = shared
        self.machines: list[Machine] = []
        self.more = more

    def multiprocessors(self) -> Multiprocessors:
        """One, with as much shared memory as one likes; what a block may have is the program's to say."""
        return Multiprocessors(1, 1e9, 1 << 30, 1 << 30)

    def compile(self, source: str, definitions: Mapping[str, object]) -> Program:
        definitions = {**definitions, **self.more}
        ptx = _compiled(source, tuple(definition_texts(definitions).items()))
        return _PtxProgram(ptx, definitions, self.machines, self.most_shared)


class _PtxProgram(CupyProgram):
    """CupyProgram's own pieces, columns and launch, of kernels that are interpreted."""

    def __init__(self, ptx: str, definitions: Mapping[str, object], machines: list[Machine], most_shared: int) -> None:
        self.ptx, self.machines = ptx, machines
        self.most_shared = most_shared
        self._set_block(definitions)

    def _kernel(self, name: str, shared_bytes: int) -> Kernel:
        return _parsed(self.ptx, name)

    def _start(self, kernel: Kernel, blocks: int, shared_bytes: int, cooperative: bool, arguments: list[Any]) -> None:
        self.machines.append(launch(kernel, blocks, self.threads, arguments, shared_bytes))

    def _argument(self, argument: Any) -> Any:
        if argument is None:
            return np.uintp(0)
        return np.int32(argument) if isinstance(argument, int) else argument


@lru_cache(maxsize=64)
def _compiled(source: str, definitions: tuple[tuple[str, str], ...]) -> str:
    return compile_ptx(source, dict(definitions))


@lru_cache(maxsize=64)
def _parsed(ptx: str, name: str) -> Kernel:
    return parse(ptx, name)
