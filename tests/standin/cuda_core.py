"""`cuda.core` and what it brings along: as much as gpubp uses of it, with the arguments that it has."""

from __future__ import annotations

import atexit
import ctypes
import shutil
import tempfile
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from standin.cuda import STREAM, Device
from standin.kernel import Kernel
from standin.nvrtc import VERSION, compile_for_the_cpu
from standin.state import STATE, CUDARuntimeError

MODULES = ("cuda", "cuda.core", "cuda.bindings", "cuda.bindings.driver", "cuda.bindings.nvrtc", "cuda.pathfinder")


@dataclass
class ProgramOptions:
    """Those of cuda-core that gpubp sets, with cuda-core's defaults."""

    name: str = "default_program"
    arch: str | None = None
    std: str | None = None
    fma: bool | None = None
    ftz: bool | None = None
    define_macro: list[tuple[str, str]] | None = None

    def as_options(self) -> tuple[str, ...]:
        settings = {"--ftz": self.ftz, "--fmad": self.fma, "--std": self.std}
        given = [f"{name}={str(value).lower()}" for name, value in settings.items() if value is not None]
        for macro in self.define_macro or ():
            if not isinstance(macro, tuple) or not all(isinstance(text, str) for text in macro):
                raise RuntimeError(f"Expected define_macro tuple[str, str], got {macro}")
            given.append("--define-macro={}={}".format(*macro))
        return tuple(given)


class Program:
    def __init__(self, code: str, code_type: str, options: ProgramOptions) -> None:
        if code_type != "c++" or not isinstance(code, str):
            raise NotImplementedError("the stand-in compiles C++ only")
        self.code, self.options = code, options

    def compile(self, target_type: str) -> ObjectCode:
        arch = self.options.arch or f"sm_{Device().compute_capability}"
        if target_type not in ("cubin", "ptx") or (target_type == "cubin") != arch.startswith("sm_"):
            raise NotImplementedError(f"the stand-in makes a cubin for sm_… and PTX for compute_…: not {target_type}")
        return ObjectCode(compile_for_the_cpu(self.code, self.options.as_options(), arch, self.options.name))

    def close(self) -> None:
        pass


class ObjectCode:
    """What is loaded at the first question, as cuda-core does."""

    def __init__(self, code: bytes) -> None:
        self.code, self._library = code, None

    @staticmethod
    def from_cubin(module: bytes, *, name: str = "") -> ObjectCode:
        return _with_code(module, "sm")

    @staticmethod
    def from_ptx(module: bytes, *, name: str = "") -> ObjectCode:
        return _with_code(module, "compute")

    @property
    def handle(self) -> ctypes.CDLL:
        if self._library is None:
            STATE.require_driver()
            _require_for_the_device(self.code)
            with tempfile.NamedTemporaryFile(dir=_folder(), suffix=".so", delete=False) as file:
                file.write(self.code)
            self._library = ctypes.CDLL(file.name)
        return self._library

    def get_kernel(self, name: str) -> Kernel:
        return Kernel(self.handle, name)


@lru_cache(maxsize=1)
def _folder() -> Path:
    """Of the libraries, which stay as long as the process: a sanitizer names their functions by their files."""
    folder = tempfile.mkdtemp(prefix="standin-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _with_code(module: bytes, kind: str) -> ObjectCode:
    if not isinstance(module, bytes):
        raise TypeError("the stand-in loads bytes only")
    if not module.rpartition(b"\n")[2].startswith(f"{kind}_".encode()):
        raise CUDARuntimeError("CUDA_ERROR_INVALID_IMAGE: device kernel image is invalid")
    return ObjectCode(module)


def _require_for_the_device(code: bytes) -> None:
    """Machine code is for one architecture, PTX for it and all that are newer."""
    kind, _, digits = code.rpartition(b"\n")[2].decode().partition("_")
    capability = int(Device().compute_capability)
    if int(digits) > capability or (kind == "sm" and int(digits) != capability):
        raise CUDARuntimeError("CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available for execution on the device")


@dataclass(frozen=True)
class LaunchConfig:
    grid: int | tuple[int, ...]
    block: int | tuple[int, ...]
    shmem_size: int = 0
    is_cooperative: bool = False


class Stream:
    """A stream by its address."""

    def __init__(self, *_: Any) -> None:
        raise RuntimeError("Stream objects cannot be instantiated directly.")

    @staticmethod
    def from_handle(handle: int) -> Stream:
        stream = object.__new__(Stream)
        stream.address = handle
        return stream

    address: int


def launch(stream: Stream, config: LaunchConfig, kernel: Kernel, *arguments: Any) -> None:
    if not isinstance(stream, Stream):
        raise TypeError("cuda-core has deprecated objects that are no streams of its own, but say their address")
    if stream.address != (STREAM.ptr or 1):
        raise ValueError(f"{kernel.name} is launched on another stream than CuPy's current one: {stream.address}")
    grid, block = (size if isinstance(size, tuple) else (size,) for size in (config.grid, config.block))
    kernel.start(grid, block, config.shmem_size, config.is_cooperative, arguments)


class Result(Enum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1


class Attribute(Enum):
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8


def cuKernelSetAttribute(attrib: Attribute, val: int, kernel: Kernel, dev: int) -> tuple[Result]:
    if attrib is not Attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES or dev != Device().id:
        return (Result.CUDA_ERROR_INVALID_VALUE,)
    kernel.most_shared = val
    return (Result.CUDA_SUCCESS,)


def nvrtcVersion() -> tuple[int, int, int]:
    return (0, *VERSION)


def nvrtcGetSupportedArchs() -> tuple[int, list[int]]:
    return 0, [*STATE.machine.architectures]


def load_nvidia_dynamic_lib(libname: str) -> SimpleNamespace:
    if libname in STATE.machine.missing_libraries:
        raise RuntimeError(f'Failure finding "lib{libname}.so": No such file: lib{libname}.so')
    return SimpleNamespace(abs_path=__file__)


def fill_cuda_core(modules: dict[str, ModuleType]) -> None:
    """Put this file's names where cuda-core has them."""
    for value in (Program, ProgramOptions, ObjectCode, Stream, LaunchConfig, launch):
        setattr(modules["cuda.core"], value.__name__, value)
    driver = modules["cuda.bindings.driver"]
    driver.CUfunction_attribute, driver.CUresult = Attribute, Result
    driver.cuKernelSetAttribute = cuKernelSetAttribute
    modules["cuda.bindings.nvrtc"].nvrtcVersion = nvrtcVersion
    modules["cuda.bindings.nvrtc"].nvrtcGetSupportedArchs = nvrtcGetSupportedArchs
    modules["cuda.pathfinder"].load_nvidia_dynamic_lib = load_nvidia_dynamic_lib
