"""`cupy.cuda.compiler` and `cupy.cuda.nvrtc`: CUDA sources compiled for the CPU, with the shim cuda_on_cpu.h.

What comes out is a shared library where NVRTC gives machine code for a device. NVRTC's options are taken for what they
mean: without -fmad=false, products and sums are contracted into fma; with -ftz=true, denormal floats are zero.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from gpubp.backends.host_compiler import compile_library
from gpubp.errors import BackendError
from standin.cuda import Device
from standin.state import STATE

VERSION = (13, 0)
HEADERS = (Path(__file__).parent, Path(__file__).parents[1] / "native")
EXTRA_FLAGS = "STANDIN_CXXFLAGS"  # for sanitizers
OPTION = re.compile(r"-D(?P<name>[A-Za-z_]\w*)(=(?P<value>.*))?|(?P<flag>--?(std|fmad|ftz))=(?P<setting>\S+)")
KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\((?P<bounds>[^(),]*)[^()]*\)\s*)?(?P<name>\w+)\s*\('
)
DYNAMIC_SHARED = re.compile(r"\bextern\s+__shared__\s+(?P<type>[\w ]+?)\s+(?P<name>\w+)\s*\[\s*\]\s*;")


class CompileException(Exception):
    """`cupy.cuda.compiler.CompileException`: its text is what the compiler said."""


def getVersion() -> tuple[int, int]:
    return VERSION


def compile_using_nvrtc(
    source: str,
    options: tuple[str, ...] = (),
    arch: str | None = None,
    filename: str = "kern.cu",
    name_expressions: None = None,
) -> tuple[bytes, None]:
    """The library's bytes, and no mapping of names: kernels are extern "C"."""
    if name_expressions is not None:
        raise NotImplementedError('the stand-in finds kernels by name: declare them extern "C"')
    if arch is None:
        arch = Device().compute_capability
    if not re.fullmatch(r"\d{2,3}", arch):
        raise ValueError(f"architecture {arch!r}: expected digits, such as '90'")
    definitions, flags = host_options(options)
    extra = (*flags, *shlex.split(os.environ.get(EXTRA_FLAGS, "")))
    try:
        library = compile_library(for_the_shim(source, filename), definitions, include=HEADERS, extra=extra)
    except BackendError as error:
        raise CompileException(str(error)) from error
    STATE.counters.compilations += 1
    return library.path.read_bytes(), None


def host_options(options: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Definitions, and the host compiler's flags for NVRTC's settings; ValueError for an option it has not."""
    if not isinstance(options, tuple):
        raise TypeError(f"options must be a tuple, not {type(options).__name__}")
    definitions, settings = {}, {"std": "c++17", "fmad": "true", "ftz": "false"}
    for option in options:
        match = OPTION.fullmatch(option)
        if match is None:
            raise ValueError(f"The stand-in knows no option {option!r}: if NVRTC has it, add it to {__name__}.")
        if match["name"]:
            definitions[match["name"]] = "1" if match["value"] is None else match["value"]
        else:
            settings[match["flag"].lstrip("-")] = match["setting"]  # the last one counts
    flags = (f"-std={settings['std']}", f"-ffp-contract={'off' if settings['fmad'] == 'false' else 'fast'}")
    return definitions, flags + (("-DCUDA_ON_CPU_FTZ",) if settings["ftz"] == "true" else ())


def for_the_shim(source: str, filename: str) -> str:
    """The source with the shim before it and an entry for each kernel after it; its lines keep their numbers."""
    source = DYNAMIC_SHARED.sub(r"CUDA_ON_CPU_DYNAMIC_SHARED(\g<type>, \g<name>);", source)
    entries = [f"CUDA_ON_CPU_EXPORT({match['name']}, {match['bounds'] or 0})" for match in KERNEL.finditer(source)]
    return "\n".join(['#include "cuda_on_cpu.h"', f'#line 1 "{filename}"', source, *entries, ""])
