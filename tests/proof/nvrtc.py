"""NVIDIA's runtime compiler by itself, without CuPy, driver or device: the PyPI package nvidia-cuda-nvrtc."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from gpubp.backends.nvrtc import OPTIONS, TINY_KERNEL, define_options, load_builtins

REQUIREMENT = "nvidia-cuda-nvrtc>=13,<14"
PACKAGE = "nvidia-cuda-nvrtc"


class NvrtcError(Exception):
    """NVRTC refused the source; the message holds its log."""


@dataclass(frozen=True)
class Usage:
    """What ptxas says that one kernel takes: 32-bit registers of a thread, bytes of each kind of memory."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int
    called: int = 0  # bytes outside of registers, of the functions that it calls

    @property
    def fits(self) -> bool:
        """Everything a thread keeps is in registers."""
        return self.stack == self.spill_stores == self.spill_loads == self.called == 0


@lru_cache(maxsize=1)
def missing() -> str | None:
    """Why NVRTC cannot be used here; None if it can: it has compiled a tiny kernel."""
    try:
        compile_ptx(TINY_KERNEL, {})
    except (metadata.PackageNotFoundError, OSError, NvrtcError) as error:
        return f"NVRTC is not here, or of no use ({error!r}): pip install '{REQUIREMENT}'"
    return None


def compile_ptx(source: str, definitions: Mapping[str, object], capability: int = 80) -> str:
    """The program before ptxas, for virtual architecture compute_<capability>."""
    code, _ = _compile(source, [*_options(definitions), f"--gpu-architecture=compute_{capability}"], "PTX")
    return code.rstrip(b"\0").decode()


def compile_cubin(source: str, definitions: Mapping[str, object], capability: int, name: str) -> tuple[bytes, Usage]:
    """The machine code for sm_<capability>, and what its kernel `name` takes."""
    options = [*_options(definitions), f"--gpu-architecture=sm_{capability}", "--ptxas-options=-v"]
    code, log = _compile(source, options, "CUBIN")
    return code, parse_usage(log, name)


def parse_usage(log: str, name: str) -> Usage:
    """From the lines that ptxas -v writes about the kernel `name`."""
    about = re.search(rf"Compiling entry function '{name}'.*?(?=Compiling entry function|\Z)", log, re.DOTALL)
    if about is None:
        raise NvrtcError(f"ptxas says nothing about the kernel {name}:\n{log}")

    own, *called = re.split(r"Function properties for (?!" + re.escape(name) + r"\b)", about[0])

    def number(pattern: str, default: int | None = None) -> int:
        match = re.search(pattern, own)
        if match is None and default is None:
            raise NvrtcError(f"ptxas says nothing like {pattern!r}:\n{log}")
        return int(match[1]) if match else int(default or 0)

    return Usage(
        registers=number(r"Used (\d+) registers"),
        stack=number(r"(\d+) bytes stack frame"),
        spill_stores=number(r"(\d+) bytes spill stores"),
        spill_loads=number(r"(\d+) bytes spill loads"),
        shared=number(r"(\d+) bytes smem", 0),
        called=sum(int(size) for its in called for size in re.findall(r"(\d+) bytes (?:stack|spill)", its)),
    )


def _options(definitions: Mapping[str, object]) -> list[str]:
    """Exactly those that cuda-core gives for gpubp (tests/backends/test_nvrtc.py compares them)."""
    return [*OPTIONS, *define_options(definitions)]


def _compile(source: str, options: Sequence[str], kind: str) -> tuple[bytes, str]:
    """The compiled program as PTX or CUBIN, and the log."""
    nvrtc = _library()
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"gpubp.cu", 0, None, None)
    try:
        arguments = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        failed = nvrtc.nvrtcCompileProgram(program, len(options), arguments)
        log = _read(nvrtc, program, "ProgramLog").rstrip(b"\0").decode()
        if failed:
            raise NvrtcError(f"NVRTC, with {' '.join(options)}:\n{log}")
        return _read(nvrtc, program, kind), log
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _read(nvrtc: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    """One of the texts that NVRTC gives by a pair of functions, one for its size."""
    size = ctypes.c_size_t()
    if getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)):
        raise NvrtcError(f"NVRTC gives no {what}")
    buffer = ctypes.create_string_buffer(size.value)
    if getattr(nvrtc, f"nvrtcGet{what}")(program, buffer):
        raise NvrtcError(f"NVRTC gives no {what}")
    return buffer.raw


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """libnvrtc out of the package's folder, and its builtins, which not every version finds beside itself."""
    for file in metadata.files(PACKAGE) or []:
        if re.fullmatch(r"libnvrtc\.so\.\d+|nvrtc64_\d+_0\.dll", file.name):
            load_builtins(Path(str(file.locate())))
            return ctypes.CDLL(str(file.locate()))
    raise OSError(f"the package {PACKAGE} holds no library")


def version() -> str:
    """NVRTC's, as "13.0"."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"
