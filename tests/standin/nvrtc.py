"""What NVRTC does, on the CPU: CUDA sources compiled by the host's compiler, with the shim cuda_on_cpu.h.

What comes out is a shared library where NVRTC gives machine code for a device. NVRTC's options are taken for what they
mean: without --fmad=false, products and sums are contracted into fma; with --ftz=true, denormal floats are zero.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from gpubp.backends.host_compiler import compile_library
from gpubp.backends.kernel_cache import PROBE
from gpubp.errors import BackendError
from standin.state import STATE

VERSION = (13, 0)
HEADERS = (Path(__file__).parent, Path(__file__).parents[1] / "native")
EXTRA_FLAGS = "STANDIN_CXXFLAGS"  # for sanitizers
OPTION = re.compile(r"--define-macro=(?P<name>[A-Za-z_]\w*)=(?P<value>.*)|--(?P<flag>std|fmad|ftz)=(?P<setting>\S+)")
KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\((?P<bounds>[^(),]*)[^()]*\)\s*)?(?P<name>\w+)\s*\('
)
DYNAMIC_SHARED = re.compile(r"\bextern\s+__shared__\s+(?P<type>[\w ]+?)\s+(?P<name>\w+)\s*\[\s*\]\s*;")
NO_BUILTINS = "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE, nvrtc: error: failed to open libnvrtc-builtins.so.13.0."


class NvrtcError(Exception):
    """Its text is what the compiler said."""


def compile_for_the_cpu(source: str, options: tuple[str, ...], architecture: str, filename: str) -> bytes:
    """The library's bytes, followed by what they are for, as machine code and PTX are for an architecture."""
    kind, _, digits = architecture.partition("_")
    if kind not in ("sm", "compute") or int(digits) not in STATE.machine.architectures:
        raise NvrtcError("NVRTC_ERROR_INVALID_OPTION, nvrtc: error: invalid value for --gpu-architecture (-arch)")
    if not STATE.machine.builtins:
        raise NvrtcError(NO_BUILTINS)
    definitions, flags = host_options(options)
    extra = (*flags, *shlex.split(os.environ.get(EXTRA_FLAGS, "")))
    try:
        library = compile_library(for_the_shim(source, filename), definitions, include=HEADERS, extra=extra)
    except BackendError as error:
        raise NvrtcError(f"NVRTC_ERROR_COMPILATION, compilation log:\n{error}") from error
    STATE.counters.compilations += PROBE not in definitions
    return library.path.read_bytes() + f"\n{architecture}".encode()


def host_options(options: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Definitions, and the host compiler's flags for NVRTC's settings; ValueError for an option it has not."""
    definitions, settings = {}, {"std": "c++17", "fmad": "true", "ftz": "false"}
    for option in options:
        match = OPTION.fullmatch(option)
        if match is None:
            raise ValueError(f"The stand-in knows no option {option!r}: if NVRTC has it, add it to {__name__}.")
        if match["name"]:
            definitions[match["name"]] = match["value"]
        else:
            settings[match["flag"]] = match["setting"]  # the last one counts
    flags = (f"-std={settings['std']}", f"-ffp-contract={'off' if settings['fmad'] == 'false' else 'fast'}")
    return definitions, flags + (("-DCUDA_ON_CPU_FTZ",) if settings["ftz"] == "true" else ())


def for_the_shim(source: str, filename: str) -> str:
    """The source with the shim before it and an entry for each kernel after it; its lines keep their numbers."""
    source = DYNAMIC_SHARED.sub(r"CUDA_ON_CPU_DYNAMIC_SHARED(\g<type>, \g<name>);", source)
    entries = [f"CUDA_ON_CPU_EXPORT({match['name']}, {match['bounds'] or 0})" for match in KERNEL.finditer(source)]
    return "\n".join(['#include "cuda_on_cpu.h"', f'#line 1 "{filename}"', source, *entries, ""])
