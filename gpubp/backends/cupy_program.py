"""Compiled kernels on a CUDA device: NVRTC through CuPy, the machine code kept in the kernel cache."""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.backends.kernel_cache import (
    KEY_LENGTH,
    discard_library,
    find_library,
    keep_library,
    private_folder,
    workshop,
)
from gpubp.backends.notices import warn_once
from gpubp.errors import BackendError

# As on the CPU: a product and a sum become an fma only where the source says so, and denormal numbers are numbers.
OPTIONS = ("-std=c++17", "-fmad=false", "-ftz=false")
SHOWN_LINES = 20
STATIC_SHARED = 40 << 10  # bytes of a block's shared memory that kernels may declare themselves
WITHOUT_ASKING = 8 << 10  # and those that a launch may add without setting the kernel's limit: 48 KiB in all


class CupyProgram:
    """A compiled source, in blocks of THREADS (of its definitions) threads: one network for each thread, or, where
    BLOCK_PER_NETWORK is defined as true, one for each block."""

    def __init__(self, cupy: Any, source: str, definitions: Mapping[str, object]) -> None:
        self.module = _load(cupy, source, definitions)
        self._set_block(definitions)
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        self.most_shared: int = properties["sharedMemPerBlockOptin"]
        self.multiprocessors: int = properties["multiProcessorCount"]

    def _set_block(self, definitions: Mapping[str, object]) -> None:
        self.threads = int(str(definitions["THREADS"]))
        self.networks_per_block = 1 if definitions.get("BLOCK_PER_NETWORK") else self.threads

    def pieces(self, first: int, last: int) -> list[tuple[int, int]]:
        return [(first, last)]

    def columns(self, first: int, last: int) -> int:
        return last - first

    def team(self, n_networks: int) -> int:
        return 1  # a CUDA block's threads share its network's work anyway

    def shared_room(self) -> int:
        return self.most_shared - STATIC_SHARED

    def resident_blocks(self, name: str, shared_bytes: int = 0) -> int:
        return self.multiprocessors

    def launch(
        self,
        name: str,
        calls: Sequence[Sequence[Any]],
        meeting: Any = None,
        shared_bytes: int = 0,
        team_blocks: int = 1,
    ) -> float:
        """One launch for each argument list, in order, on the current stream; returns without waiting."""
        kernel = self.module.get_function(name)
        if shared_bytes > WITHOUT_ASKING:
            kernel.max_dynamic_shared_size_bytes = shared_bytes
        for call in calls:
            first, last = call[-2:]
            blocks = team_blocks * -(-(last - first) // self.networks_per_block)
            kernel.cooperative = team_blocks > 1
            arguments = tuple(_argument(argument) for argument in call)
            kernel((blocks,), (self.threads,), arguments, shared_mem=shared_bytes)
        return 1.0


def _load(cupy: Any, source: str, definitions: Mapping[str, object]) -> Any:
    """The module; kept machine code that the device does not take is deleted, and compiled once again."""
    path = compile_for_device(cupy, source, definitions)
    try:
        return cupy.RawModule(path=str(path))
    except (OSError, RuntimeError):  # CuPy's errors are RuntimeErrors
        discard_library(path.parent, path.name[:KEY_LENGTH])
    path = compile_for_device(cupy, source, definitions)
    try:
        return cupy.RawModule(path=str(path))
    except (OSError, RuntimeError) as error:
        discard_library(path.parent, path.name[:KEY_LENGTH])
        raise BackendError(
            f"The CUDA device does not load a kernel that was just compiled for it: {error}. Until that is mended, "
            "engine='array' with smaller networks compiles nothing of ours."
        ) from error


def _folder() -> Path:
    """The kernel cache; where there is none, a folder that lasts as long as this process, and a warning."""
    try:
        return private_folder()
    except BackendError as error:
        warn_once(f"Kernels for the CUDA device are compiled anew in every process. {error}")
    try:
        return _temporary_folder(os.getpid())
    except OSError as error:
        raise BackendError(f"There is no folder for a kernel's machine code: {error}.") from error


@lru_cache(maxsize=1)
def _temporary_folder(process: int) -> Path:
    """Mode 0700. process: a forked child has a folder of its own."""
    folder = tempfile.mkdtemp(prefix="gpubp-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def compile_for_device(cupy: Any, source: str, definitions: Mapping[str, object]) -> Path:
    """The file of the source's machine code for the current device, compiled by NVRTC or found in the kernel cache.

    Not by RawModule(code=...): CuPy would add -ftz=true to its options, which has the last word and makes denormal
    floats zero, so that a GPU's bits would differ from a CPU's. Raises BackendError.
    """
    options = (*OPTIONS, *define_options(definitions))
    version = "NVRTC {}.{}".format(*cupy.cuda.nvrtc.getVersion())
    architecture = cupy.cuda.Device().compute_capability
    parts = [source, options, version, cupy.__version__, architecture]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    folder = _folder()
    ready = find_library(folder, key)
    if ready is not None:
        return ready
    start = time.perf_counter()
    try:
        code, _ = cupy.cuda.compiler.compile_using_nvrtc(source, options, architecture, "gpubp.cu")
    except cupy.cuda.compiler.CompileException as error:
        raise BackendError(_rejection(str(error), version, options)) from error
    seconds = time.perf_counter() - start
    with workshop(folder) as place:
        (place / "kernel.so").write_bytes(code)  # a cubin; the cache has one suffix for all that it keeps
        compiler = f"{version} for sm_{architecture}"
        record = {"compiler": compiler, "flags": OPTIONS, "definitions": _texts(definitions), "seconds": seconds}
        return keep_library(folder, key, place / "kernel.so", record)


def define_options(definitions: Mapping[str, object]) -> tuple[str, ...]:
    """-D options: True and False as 1 and 0, sequences joined by commas."""
    return tuple(f"-D{name}={value}" for name, value in _texts(definitions).items())


def _texts(definitions: Mapping[str, object]) -> dict[str, str]:
    return {name: _text(value) for name, value in sorted(definitions.items())}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(str(item) for item in value)
    return str(value)


def _rejection(words: str, version: str, options: Sequence[str]) -> str:
    lines = words.splitlines()
    shown = "\n".join(lines[:SHOWN_LINES] + (["…"] if len(lines) > SHOWN_LINES else []))
    return (
        "NVRTC rejected a kernel of gpubp. This is a defect of gpubp: please report it with this message. Until then, "
        f"engine='array' compiles nothing of ours.\ncompiler: {version}\noptions: {' '.join(options)}\n{shown}"
    )


def _argument(argument: Any) -> Any:
    """Python ints as the kernel's 32-bit ints; None as a null pointer (CuPy's own None is no null: cupy issue 9046)."""
    if argument is None:
        return np.uintp(0)
    return np.int32(argument) if isinstance(argument, int) else argument
