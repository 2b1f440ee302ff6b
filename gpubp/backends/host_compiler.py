"""Compile C++ for this machine's CPU with the machine's own compiler, and load the result.

    library = compile_library('#include "elementwise.h"', {"REAL": "float"}, include=native_folder)
    library.function("map_exp", (c_void_p, c_void_p, c_longlong))(x, y, count)

Compiled libraries are kept (kernel_cache.py) under a key of everything that decides their content: the source, the
headers that it includes, the definitions, the flags, the compiler and its version, and what the compiler knows of
this CPU. Arithmetic is as written: no fast-math, no contraction into fma, so every compiler gives the same bits.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gpubp.backends.kernel_cache import find_library, keep_library, private_folder, workshop
from gpubp.errors import BackendError

Isa = Literal["native", "sse2", "avx2", "avx512"]

CANDIDATES = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC")
# g++'s -O3 takes a third longer than those parts of it that kernels gain from, and makes them no faster.
GNU = ("-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic", "-fpeel-loops", "-funswitch-loops", "-falign-loops=32")
GNU_X86 = ("-mtune=generic",)  # what g++ 12 takes to be good for AMD's Zen makes lanes a quarter slower
OTHERS = ("-O3",)
# an instruction set, the macros that a compiler defines where the CPU has it, and the flag that asks for it
ISAS: dict[str, tuple[frozenset[str], str]] = {
    "sse2": (frozenset({"__SSE2__"}), "-march=x86-64"),
    "avx2": (frozenset({"__AVX2__", "__FMA__", "__BMI2__"}), "-march=haswell"),
    "avx512": (frozenset({"__AVX512F__", "__AVX512DQ__", "__AVX512BW__", "__AVX512VL__"}), "-march=skylake-avx512"),
}
SHOWN_LINES = 20
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler that runs: its command (a program and perhaps arguments) and the first line it says of itself."""

    command: tuple[str, ...]
    version: str


@dataclass(frozen=True)
class HostLibrary:
    """A loaded library; `cached` tells whether it was found ready, `seconds` how long compiling took if not."""

    path: Path
    handle: ctypes.CDLL
    cached: bool
    seconds: float

    def function(self, name: str, arguments: Sequence[Any], result: Any = None) -> Callable[..., Any]:
        """The C function `name` with its ctypes signature; calling it releases the GIL."""
        try:
            found = self.handle[name]  # an object of its own per look-up, unlike attribute access
        except AttributeError as error:
            raise BackendError(f"The compiled kernel {self.path} has no function {name!r}.") from error
        found.argtypes = list(arguments)
        found.restype = result
        return found


def find_compiler() -> Compiler | None:
    """`$CXX`, else the first of c++, g++, clang++ on PATH that runs; None if there is none.

    A `$CXX` that cannot be run is a BackendError: it was asked for, so nothing else is taken silently.
    """
    return _find_compiler(os.environ.get("CXX", "").strip(), os.environ.get("PATH", ""))


@functools.lru_cache(maxsize=8)
def _find_compiler(chosen: str, path: str) -> Compiler | None:
    if chosen:
        compiler = _try_compiler(tuple(shlex.split(chosen)), path)
        if compiler is None:
            raise BackendError(
                f"The environment variable CXX names the C++ compiler {chosen!r}, which cannot be run. "
                "Set it to a compiler (for example CXX=g++), or unset it to let gpubp look for one."
            )
        return compiler
    found = (_try_compiler((name,), path) for name in CANDIDATES)
    return next((compiler for compiler in found if compiler is not None), None)


def _try_compiler(command: tuple[str, ...], path: str) -> Compiler | None:
    program = shutil.which(command[0], path=path)
    if program is None:
        return None
    command = (program, *command[1:])
    try:
        said = _run([*command, "--version"])
    except OSError:
        return None
    return Compiler(command, (said.stdout.splitlines() or ["?"])[0]) if said.returncode == 0 else None


def runnable_isas(compiler: Compiler) -> tuple[Isa, ...]:
    """Which of the instruction sets that can be asked for by name this CPU runs, narrowest first."""
    macros = set(re.findall(r"#define (\w+)", _target_macros(compiler.command, (_native_flag(),))))
    names: tuple[Isa, ...] = ("sse2", "avx2", "avx512")
    return tuple(name for name in names if ISAS[name][0] <= macros)


def compile_library(
    source: str,
    definitions: Mapping[str, object],
    *,
    include: Path | Sequence[Path],
    isa: Isa = "native",
    extra: Sequence[str] = (),
    compiler: Compiler | None = None,
) -> HostLibrary:
    """Compile C++ `source` into a shared library, or take it from the cache, and load it.

    `definitions` become -D options (True and False as 1 and 0, sequences joined by commas); `include` is the
    folder, or folders, of the headers named in quotes; `isa` other than "native" is for tests; `extra` flags come
    last (warnings, sanitizers).
    Raises BackendError without a compiler, for an unusable cache folder, and where the compiler rejects the source.
    """
    compiler = compiler or find_compiler()
    if compiler is None:
        raise BackendError(
            f"No C++ compiler found (looked for $CXX, {', '.join(CANDIDATES)}). Install one (Debian, Ubuntu: "
            "apt install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install), or choose engine='array'."
        )
    defined = {name: _definition(name, value) for name, value in sorted(definitions.items())}
    machine = (_native_flag() if isa == "native" else ISAS[isa][1],)
    macros = _target_macros(compiler.command, machine)
    flags = (*FLAGS, *machine, *_optimization(macros), *extra)
    folders = [include.resolve()] if isinstance(include, Path) else [path.resolve() for path in include]
    key = _key(source, defined, flags, compiler, folders, macros)
    folder = private_folder()
    ready = find_library(folder, key)
    if ready is not None:
        return HostLibrary(ready, ctypes.CDLL(str(ready)), cached=True, seconds=0.0)

    with workshop(folder) as place:
        start = time.perf_counter()
        _compile(source, defined, flags, compiler, folders, place)
        seconds = time.perf_counter() - start
        record = {"compiler": compiler.version, "flags": flags, "definitions": defined, "seconds": seconds}
        path = keep_library(folder, key, place / "kernel.so", record)
    return HostLibrary(path, ctypes.CDLL(str(path)), cached=False, seconds=seconds)


def _compile(
    source: str, defined: dict[str, str], flags: Sequence[str], compiler: Compiler, include: list[Path], place: Path
) -> None:
    """Make `place`/kernel.so. Names relative to `place`, so that equal sources give equal libraries."""
    (place / "kernel.cpp").write_text(source)
    options = [f"-D{name}={value}" for name, value in defined.items()]
    # -iquote, not -I: a header of ours must not stand in for a system header of the same name
    folders = [part for folder in include for part in ("-iquote", str(folder))]
    command = [*compiler.command, *flags, *options, *folders, "kernel.cpp", "-o", "kernel.so"]
    said = _run(command, cwd=place)
    if said.returncode != 0:
        words = (said.stderr + said.stdout).splitlines()
        shown = "\n".join(words[:SHOWN_LINES] + (["…"] if len(words) > SHOWN_LINES else []))
        raise BackendError(
            f"The C++ compiler rejected a kernel of gpubp (exit status {said.returncode}). This is a defect of "
            "gpubp: please report it with this message. Until then, engine='array' needs no compiler.\n"
            f"compiler: {compiler.version}\ncommand: {shlex.join(command)}\n{shown}"
        )


def _key(
    source: str, defined: dict[str, str], flags: Sequence[str], compiler: Compiler, include: list[Path], macros: str
) -> str:
    parts = [source, sorted(_headers(source, include).items()), defined, flags, compiler.command, compiler.version]
    return hashlib.sha256(json.dumps([*parts, macros]).encode()).hexdigest()


def _headers(source: str, include: list[Path]) -> dict[str, str]:
    """Name → text of the headers that `source` includes in quotes, directly and through one another."""
    found: dict[str, str] = {}
    waiting = INCLUDE.findall(source)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        paths = [folder / name for folder in include if (folder / name).is_file()]
        found[name] = paths[0].read_text() if paths else ""  # the compiler will say that it is missing
        waiting += INCLUDE.findall(found[name])
    return found


def _definition(name: str, value: object) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise BackendError(f"{name!r} is no name that a C++ macro can have.")
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(str(item) for item in value)
    return str(value)


def _native_flag() -> str:
    # On ARM -march alone leaves the processor's tuning out, and clang long knew -mcpu only.
    return "-mcpu=native" if platform.machine().lower() in ("arm64", "aarch64") else "-march=native"


@functools.lru_cache(maxsize=32)
def _target_macros(command: tuple[str, ...], machine: tuple[str, ...]) -> str:
    """What the compiler predefines for this machine: one line per instruction set it will use, and its version."""
    said = _run([*command, *machine, "-dM", "-E", "-x", "c++", os.devnull])
    return "\n".join(sorted(said.stdout.splitlines())) if said.returncode == 0 else ""


def _optimization(macros: str) -> tuple[str, ...]:
    """The flags that this compiler knows; others than GNU's define __GNUC__ as well."""
    names = set(re.findall(r"#define (\w+)", macros))
    if "__GNUC__" not in names or "__clang__" in names:
        return OTHERS
    return (*GNU, *(GNU_X86 if "__x86_64__" in names else ()))


def _run(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LC_ALL": "C"}  # messages in English, whoever reads the report
    return subprocess.run(
        list(command), cwd=cwd, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
