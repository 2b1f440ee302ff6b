"""A backend whose kernels are the PTX that NVRTC makes for a GPU, interpreted; its arrays are NumPy's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from gpubp.backends import NumpyBackend, Program
from gpubp.backends.cupy_program import CupyProgram
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

    def compile(self, source: str, definitions: Mapping[str, object]) -> Program:
        definitions = {**definitions, **self.more}
        return _PtxProgram(compile_ptx(source, definitions), definitions, self.machines, self.most_shared)


class _PtxProgram(CupyProgram):
    """CupyProgram's own pieces, columns and launch, on a module that is interpreted."""

    def __init__(self, ptx: str, definitions: Mapping[str, object], machines: list[Machine], most_shared: int) -> None:
        self.module = _PtxModule(ptx, machines)
        self.most_shared = most_shared
        self._set_block(definitions)


class _PtxModule:
    def __init__(self, ptx: str, machines: list[Machine]) -> None:
        self.ptx, self.machines = ptx, machines

    def get_function(self, name: str) -> Any:
        kernel = _parsed(self.ptx, name)

        def call(grid: tuple[int], block: tuple[int], arguments: Sequence[Any], *, shared_mem: int) -> None:
            self.machines.append(launch(kernel, *grid, *block, arguments, shared_mem))

        return call


@lru_cache(maxsize=64)
def _parsed(ptx: str, name: str) -> Kernel:
    return parse(ptx, name)
