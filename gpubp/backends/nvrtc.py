"""Sources compiled for a CUDA device: NVRTC by way of cuda-core, which needs neither a device nor a driver for it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubp.errors import BackendError

INSTALL = "Install it with: pip install 'gpubp[cuda13]' (or 'gpubp[cuda12]' for a CUDA 12 driver)."
MEANWHILE = "Until then, engine='array' compiles nothing of ours."
# As on the CPU: a product and a sum become an fma only where the source says so, and denormal numbers are numbers.
SETTINGS = {"std": "c++17", "fma": False, "ftz": False}
OPTIONS = ("--ftz=false", "--fmad=false", "--std=c++17")  # the same, as NVRTC gets them
FILE = "gpubp.cu"
SHOWN_LINES = 20
TINY_KERNEL = 'extern "C" __global__ void probe(float* x) { x[0] = 2.0f * x[0] + 1.0f; }'


@dataclass(frozen=True)
class Target:
    """A target of compilation: machine code for an architecture, or PTX, which the driver compiles on."""

    architecture: int  # 90 for compute capability 9.0
    kind: str  # "cubin" or "ptx", as cuda-core says

    def __str__(self) -> str:
        return f"{'sm' if self.kind == 'cubin' else 'compute'}_{self.architecture}"


@dataclass(frozen=True)
class Nvrtc:
    """The NVRTC of this process. size: of its library in bytes, which tells builds of the same version apart."""

    version: tuple[int, int]
    size: int
    architectures: tuple[int, ...]
    library: Path

    def __str__(self) -> str:
        return "NVRTC {}.{}".format(*self.version)

    def target(self, capability: int) -> Target:
        """For a device of this compute capability: PTX for the newest architecture known, where the device is newer.

        Raises BackendError for a device that is too old for this NVRTC.
        """
        if capability in self.architectures:
            return Target(capability, "cubin")
        older = [known for known in self.architectures if known < capability]
        if older:
            return Target(max(older), "ptx")
        oldest = min(self.architectures)
        raise BackendError(
            f"The device's compute capability is {capability // 10}.{capability % 10}, and {self} compiles for "
            f"{oldest // 10}.{oldest % 10} and newer. {too_old_remedy(self.version[0])}"
        )


def too_old_remedy(major: int) -> str:
    """What to do about a device that CUDA `major` has dropped."""
    if major > 13:
        return "Install CuPy and CUDA of an older version, or choose --backend numpy."
    return (
        "CUDA 12 was the last one for Maxwell, Pascal and Volta: pip uninstall cupy-cuda13x cuda-bindings, "
        "then pip install 'gpubp[cuda12]'; or choose --backend numpy."
    )


def find_nvrtc() -> Nvrtc:
    """Load NVRTC; BackendError, with the remedy, where it or cuda-core is missing."""
    bindings = _import("cuda.bindings.nvrtc")
    try:
        library = Path(_import("cuda.pathfinder").load_nvidia_dynamic_lib("nvrtc").abs_path)
        _, major, minor = bindings.nvrtcVersion()
        _, architectures = bindings.nvrtcGetSupportedArchs()
        size = library.stat().st_size
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BackendError(f"NVRTC, CUDA's runtime compiler, cannot be loaded ({reason}). {INSTALL}") from error
    return Nvrtc((major, minor), size, tuple(sorted(architectures)), library)


def compile_source(nvrtc: Nvrtc, source: str, definitions: Mapping[str, object], target: Target) -> bytes:
    """The source as machine code or PTX for the target. BackendError: what NVRTC said, if it was the source; else what
    is wrong with NVRTC.
    """
    try:
        return _compiled(nvrtc, source, definitions, target)
    except Exception as error:  # cuda-core's own errors have no public names
        _probe(nvrtc, target)
        raise BackendError(_rejection(str(error), f"{nvrtc} for {target}", definitions)) from error


def _probe(nvrtc: Nvrtc, target: Target) -> None:
    """Compile a tiny kernel; BackendError where even that does not work."""
    try:
        _compiled(nvrtc, TINY_KERNEL, {}, target)
    except Exception as error:
        said = " ".join(str(error).split())[:300].rstrip(". ")
        raise BackendError(
            f"{nvrtc} ({nvrtc.library}) does not compile even a tiny kernel: {said}. Reinstall it: pip install "
            f"--force-reinstall 'cuda-toolkit[nvrtc,cublas,cudart]=={nvrtc.version[0]}.*'. {MEANWHILE}"
        ) from error


def load_builtins(library: Path) -> bool:
    """Load what lies beside NVRTC's library and is not found by it everywhere; whether there was something."""
    found = [*library.parent.glob("libnvrtc-builtins.so*"), *library.parent.glob("nvrtc-builtins64_*.dll")]
    for path in found:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    return bool(found)


def _compiled(nvrtc: Nvrtc, source: str, definitions: Mapping[str, object], target: Target) -> bytes:
    try:
        return _compiled_once(source, definitions, target)
    except Exception as error:
        if "builtins" not in str(error) or not load_builtins(nvrtc.library):
            raise
    return _compiled_once(source, definitions, target)


def _compiled_once(source: str, definitions: Mapping[str, object], target: Target) -> bytes:
    core = _import("cuda.core")
    macros = [*definition_texts(definitions).items()]
    options = core.ProgramOptions(name=FILE, arch=str(target), define_macro=macros or None, **SETTINGS)
    program = core.Program(source, "c++", options)
    try:
        code: Any = program.compile(target.kind).code
    finally:
        program.close()
    return code.encode() if isinstance(code, str) else bytes(code)


def _import(name: str) -> Any:
    """A module of cuda-core or of what it brings along; BackendError where it is missing, or too old."""
    from importlib import import_module

    try:
        return import_module(name)
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BackendError(
            f"cuda-core, which compiles and loads kernels, cannot be used ({reason}). {INSTALL}"
        ) from error


def define_options(definitions: Mapping[str, object]) -> tuple[str, ...]:
    """As NVRTC gets them: True and False as 1 and 0, sequences joined by commas."""
    return tuple(f"--define-macro={name}={text}" for name, text in definition_texts(definitions).items())


def definition_texts(definitions: Mapping[str, object]) -> dict[str, str]:
    return {name: _text(value) for name, value in sorted(definitions.items())}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(str(item) for item in value)
    return str(value)


def _rejection(words: str, compiler: str, definitions: Mapping[str, object]) -> str:
    lines = words.splitlines()
    shown = "\n".join(lines[:SHOWN_LINES] + (["…"] if len(lines) > SHOWN_LINES else []))
    options = " ".join((*OPTIONS, *define_options(definitions)))
    return (
        "NVRTC rejected a kernel of gpubp. This is a defect of gpubp: please report it with this message. "
        f"{MEANWHILE}\ncompiler: {compiler}\noptions: {options}\n{shown}"
    )
