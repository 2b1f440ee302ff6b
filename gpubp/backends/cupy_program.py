"""Compiled kernels on a CUDA device: loaded and launched by cuda-core on CuPy's stream, kept in the kernel cache."""

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
    PROBE,
    discard_library,
    find_library,
    keep_library,
    private_folder,
    workshop,
)
from gpubp.backends.notices import warn_once
from gpubp.backends.nvrtc import MEANWHILE, OPTIONS, TINY_KERNEL, Target, compile_source, definition_texts, find_nvrtc
from gpubp.errors import BackendError

STATIC_SHARED = 40 << 10  # bytes of a block's shared memory that kernels may declare themselves
WITHOUT_ASKING = 8 << 10  # and those that a launch may add without setting the kernel's limit: 48 KiB in all
DEFAULT_STREAM = 1  # CUDA's own name for it, whatever cuda-core is told to take for its default


class CupyProgram:
    """A compiled source, in blocks of THREADS (of its definitions) threads: one network for each thread, or, where
    BLOCK_PER_NETWORK is defined as true, one for each block."""

    last_stream: tuple[int, Any] | None = None
    most_networks: int | None = None  # of a launch, where a watchdog ends those that take long

    def __init__(self, cupy: Any, source: str, definitions: Mapping[str, object]) -> None:
        self.cupy, self.device = cupy, int(cupy.cuda.Device().id)
        self.module = _load(cupy, source, definitions)
        self._set_block(definitions)
        properties = cupy.cuda.runtime.getDeviceProperties(self.device)
        self.most_shared: int = properties["sharedMemPerBlockOptin"]
        self.multiprocessors: int = properties["multiProcessorCount"]
        if properties["kernelExecTimeoutEnabled"]:  # no more at a time than run side by side
            blocks = self.multiprocessors * (properties["maxThreadsPerMultiProcessor"] // self.threads)
            self.most_networks = max(1, blocks) * self.networks_per_block

    def _set_block(self, definitions: Mapping[str, object]) -> None:
        self.threads = int(str(definitions["THREADS"]))
        self.networks_per_block = 1 if definitions.get("BLOCK_PER_NETWORK") else self.threads

    def pieces(self, first: int, last: int) -> list[tuple[int, int]]:
        size = self.most_networks or max(1, last - first)
        return [(start, min(start + size, last)) for start in range(first, last, size)]

    def columns(self, first: int, last: int) -> int:
        return last - first

    def team(self, n_networks: int) -> int:
        return 1  # a CUDA block's threads share its network's work anyway

    def constant(self, name: str) -> int | None:
        return None

    def shared_room(self) -> int:
        return self.most_shared - STATIC_SHARED

    def resident_blocks(self, name: str, shared_bytes: int = 0) -> int:
        """How many blocks of a kernel the whole device holds at the same time."""
        kernel = self._kernel(name, shared_bytes)
        return self.multiprocessors * int(
            kernel.occupancy.max_active_blocks_per_multiprocessor(self.threads, shared_bytes)
        )

    def launch(
        self,
        name: str,
        calls: Sequence[Sequence[Any]],
        meeting: Any = None,
        shared_bytes: int = 0,
        team_blocks: int = 1,
    ) -> float:
        """One launch for each argument list, in order, on the current stream; returns without waiting.

        team_blocks: so many blocks for one, which wait for each other: the launch is cooperative.
        """
        kernel = self._kernel(name, shared_bytes)
        for call in calls:
            first, last = call[-2:]
            blocks = team_blocks * -(-(last - first) // self.networks_per_block)
            self._start(kernel, blocks, shared_bytes, team_blocks > 1, [self._argument(argument) for argument in call])
        return 1.0

    def _kernel(self, name: str, shared_bytes: int) -> Any:
        kernel = self.module.get_kernel(name)
        if shared_bytes > WITHOUT_ASKING:
            from cuda.bindings import driver  # cuda-core reads this attribute only

            attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            (status,) = driver.cuKernelSetAttribute(attribute, shared_bytes, kernel.handle, self.device)
            if status != driver.CUresult.CUDA_SUCCESS:
                raise BackendError(f"The CUDA device gives no {shared_bytes:,} bytes of shared memory: {status!r}.")
        return kernel

    def _start(self, kernel: Any, blocks: int, shared_bytes: int, cooperative: bool, arguments: list[Any]) -> None:
        from cuda.core import LaunchConfig, launch

        config = LaunchConfig(grid=blocks, block=self.threads, shmem_size=shared_bytes, is_cooperative=cooperative)
        launch(self._stream(), config, kernel, *arguments)

    def _stream(self) -> Any:
        """CuPy's current stream as cuda-core's; the last one is kept, since making it takes as long as a launch."""
        from cuda.core import Stream

        address = self.cupy.cuda.get_current_stream().ptr or DEFAULT_STREAM
        if self.last_stream is None or self.last_stream[0] != address:
            self.last_stream = address, Stream.from_handle(address)
        return self.last_stream[1]

    def _argument(self, argument: Any) -> Any:
        """An address for an array, and for None; Python ints as the kernel's 32-bit ints; NumPy's numbers as they are.

        cuda-core takes a Python int for an address.
        """
        if argument is None:
            return 0
        if isinstance(argument, self.cupy.ndarray):
            if not argument.flags.c_contiguous:
                raise ValueError("a kernel reads C-contiguous arrays only")
            return argument.data.ptr
        return np.int32(argument) if isinstance(argument, int) else argument


def why_not_compile(cupy: Any) -> str | None:
    """Why no kernel can be compiled for the current device, with the remedy; None if one can: a tiny one was."""
    try:
        compile_for_device(cupy, TINY_KERNEL, {PROBE: True})
    except BackendError as error:
        return str(error)
    return None


def _load(cupy: Any, source: str, definitions: Mapping[str, object]) -> Any:
    """cuda-core's ObjectCode; kept machine code that the device does not take is deleted, and compiled once again."""
    path, target = compile_for_device(cupy, source, definitions)
    try:
        return _loaded(path, target)
    except Exception:  # cuda-core's own errors have no public names
        discard_library(path.parent, path.name[:KEY_LENGTH])
    path, target = compile_for_device(cupy, source, definitions)
    try:
        return _loaded(path, target)
    except Exception as error:
        discard_library(path.parent, path.name[:KEY_LENGTH])
        raise BackendError(
            f"The CUDA device does not load a kernel that was just compiled for it ({target}): {error}. {MEANWHILE}"
        ) from error


def _loaded(path: Path, target: Target) -> Any:
    from cuda.core import ObjectCode

    load = ObjectCode.from_cubin if target.kind == "cubin" else ObjectCode.from_ptx
    code = load(path.read_bytes(), name=path.name)
    _ = code.handle  # loads it now, not at the first kernel
    return code


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


def compile_for_device(cupy: Any, source: str, definitions: Mapping[str, object]) -> tuple[Path, Target]:
    """The file of the source's code for the current device, compiled or found in the kernel cache. Raises BackendError.

    The key holds all that decides the code: NVRTC's version and build, the options, and what is compiled to.
    """
    nvrtc = find_nvrtc()
    target = nvrtc.target(int(cupy.cuda.Device().compute_capability))
    texts = definition_texts(definitions)
    parts = [source, OPTIONS, [*texts.items()], nvrtc.version, nvrtc.size, str(target)]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    folder = _folder()
    ready = find_library(folder, key)
    if ready is not None:
        return ready, target
    start = time.perf_counter()
    code = compile_source(nvrtc, source, definitions, target)
    seconds = time.perf_counter() - start
    with workshop(folder) as place:
        (place / "kernel.so").write_bytes(code)  # no library; the cache has one suffix for all that it keeps
        record = {"compiler": f"{nvrtc} for {target}", "flags": OPTIONS, "definitions": texts, "seconds": seconds}
        return keep_library(folder, key, place / "kernel.so", record), target
