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
import re
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubp.backends.compiler_process import COMPILE_SECONDS, CompilerHangs, run_compiler
from gpubp.backends.compilers import ISAS, Compiler, Isa, find_compiler, no_compiler, runnable_isas, surroundings
from gpubp.backends.kernel_cache import (
    PROBE,
    VARIABLE,
    discard_library,
    keep_library,
    open_library,
    private_folder,
    workshop,
)
from gpubp.backends.library_file import defect
from gpubp.backends.once import OncePerKey
from gpubp.errors import BackendError

__all__ = [
    "ISAS",
    "Compiler",
    "HostLibrary",
    "Isa",
    "compile_library",
    "find_compiler",
    "runnable_isas",
    "why_not_compile",
]

FLAGS = ("-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC")
# g++'s -O3 takes a third longer than those parts of it that kernels gain from, and makes them no faster.
GNU = ("-O2", "-ftree-vectorize", "-fvect-cost-model=dynamic", "-fpeel-loops", "-funswitch-loops", "-falign-loops=32")
GNU_X86 = ("-mtune=generic",)  # what g++ 12 takes to be good for AMD's Zen makes lanes a quarter slower
OTHERS = ("-O3",)
# Kernels use nothing of C++'s library, which zig would compile first: two minutes instead of ten seconds.
ZIG = ("-nostdlib++",)
ZIG_FIRST_SECONDS = 900.0  # for the first kernel that zig compiles, on a slow machine
SHOWN_LINES = 20
ROOM = 1 << 18  # bytes that must be left on the disk: a kernel takes some 100 kB
OTHERWISE = "Set CXX to another compiler, or choose engine='array', which compiles nothing."
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


# What a kernel asks of a compiler, in short: C++17, vectors, their conversions and choices.
PROBE_SOURCE = """
typedef float lane_t __attribute__((vector_size(16)));
typedef int mask_t __attribute__((vector_size(16)));
template <int N> static inline __attribute__((always_inline)) lane_t chosen(lane_t a, lane_t b) {
  if constexpr (N > 1) return (a < b) ? __builtin_convertvector((mask_t)(a < b), lane_t) : b;
  return a;
}
extern "C" int probe(float* values) {
  lane_t a = *(const lane_t*)values;
  *(lane_t*)values = chosen<2>(a, a * a);
  return GPUBP_PROBE;
}
"""
PROBE_ANSWER = 41


@dataclass(frozen=True)
class HostLibrary:
    """A loaded library; `cached` tells whether it was found ready, `seconds` how long compiling took if not."""

    path: Path
    handle: ctypes.CDLL
    cached: bool
    seconds: float
    key: str = ""

    def function(self, name: str, arguments: Sequence[Any], result: Any = None) -> Callable[..., Any]:
        """The C function `name` with its ctypes signature; calling it releases the GIL."""
        try:
            found = self.handle[name]  # an object of its own per look-up, unlike attribute access
        except AttributeError as error:
            discard_library(self.path.parent, self.key)  # whoever asks next gets a new one
            raise BackendError(
                f"The compiled kernel {self.path} has no function {name!r}. It was deleted, and will be compiled again."
            ) from error
        found.argtypes = list(arguments)
        found.restype = result
        return found


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
    Threads that ask for the same library at the same time compile it once.
    Raises BackendError without a compiler, for an unusable cache folder, where the compiler rejects the source, takes
    too long or writes no library that can be loaded.
    """
    compiler = compiler or find_compiler()
    if compiler is None:
        raise no_compiler()
    folder = private_folder()
    defined = {name: _definition(name, value) for name, value in sorted(definitions.items())}
    macros = compiler.macros(isa)
    flags = (*FLAGS, compiler.machine_flag(isa), *_optimization(macros, compiler), *extra)
    folders = [include.resolve()] if isinstance(include, Path) else [path.resolve() for path in include]
    key = _key(source, defined, flags, compiler, folders, macros)
    # A sanitizer finds the lines of a library by its path.
    recipe = _Recipe(source, defined, flags, compiler, folders, pinned=not extra)
    return _building.get((str(folder), key), lambda: _ready(folder, key, recipe.pinned) or _built(recipe, folder, key))


_building: OncePerKey[HostLibrary] = OncePerKey()


@dataclass(frozen=True)
class _Recipe:
    """What a library is made of. pinned: loaded by way of its folder's descriptor."""

    source: str
    defined: dict[str, str]
    flags: tuple[str, ...]
    compiler: Compiler
    include: list[Path]
    pinned: bool = True


def _ready(folder: Path, key: str, pinned: bool = True) -> HostLibrary | None:
    """The kept library; one that does not load is deleted."""
    with open_library(folder, key) as found:
        if found is None:
            return None
        try:
            return HostLibrary(found.path, ctypes.CDLL(str(found.pinned if pinned else found.path)), True, 0.0, key)
        except OSError:
            discard_library(folder, key)
            return None


def _built(recipe: _Recipe, folder: Path, key: str) -> HostLibrary:
    with workshop(folder) as place:
        start = time.perf_counter()
        _compile(recipe, place)
        seconds = time.perf_counter() - start
        record = {
            "compiler": recipe.compiler.version,
            "flags": recipe.flags,
            "definitions": recipe.defined,
            "seconds": seconds,
        }
        path = keep_library(folder, key, place / "kernel.so", record)
    loading = ""
    try:
        with open_library(folder, key) as found:
            if found is None:  # deleted meanwhile, by `gpubp cache --clear`, say
                raise OSError(f"{path} is gone")
            loading = str(found.pinned if recipe.pinned else found.path)
            loaded = ctypes.CDLL(loading)
    except OSError as error:
        discard_library(folder, key)
        reason = str(error).replace(loading, str(path)) if loading else str(error)
        raise BackendError(
            f"The library that the C++ compiler has just made cannot be loaded: {reason}. If {folder} is on a file "
            f"system from which nothing may be executed, set {VARIABLE} to a folder on another one; else set CXX to "
            f"another compiler, or choose engine='array', which compiles nothing.\ncompiler: {recipe.compiler.version}"
        ) from error
    return HostLibrary(path, loaded, cached=False, seconds=seconds, key=key)


def _compile(recipe: _Recipe, place: Path) -> None:
    """Make `place`/kernel.so. Names relative to `place`, so that equal sources give equal libraries."""
    compiler = recipe.compiler
    (place / "kernel.cpp").write_text(recipe.source)
    options = [f"-D{name}={value}" for name, value in recipe.defined.items()]
    # -iquote, not -I: a header of ours must not stand in for a system header of the same name
    folders = [part for folder in recipe.include for part in ("-iquote", str(folder))]
    command = [*compiler.command, *recipe.flags, *options, *folders, "kernel.cpp", "-o", "kernel.so"]
    told = f"\ncompiler: {compiler.version}\ncommand: {shlex.join(command)}"
    # Its temporary files are our own, and on the disk that there has to be room on anyway.
    environment = {"TMPDIR": str(place), **compiler.environment()}
    try:
        said = run_compiler(command, _time_limit(compiler), place, environment)
    except CompilerHangs as hangs:
        raise BackendError(f"A kernel could not be compiled: {hangs}. {OTHERWISE}{told}") from hangs
    except OSError as error:
        raise BackendError(
            f"The C++ compiler could not be started: {error.strerror or error}. {OTHERWISE}{told}"
        ) from error
    words = (said.stderr + said.stdout).splitlines()
    told = "\n".join([told, *words[:SHOWN_LINES], *(["…"] if len(words) > SHOWN_LINES else [])])
    if said.returncode != 0:
        if recipe.source != PROBE_SOURCE and _rejects_everything(recipe, place):
            raise BackendError(
                f"The C++ compiler does not work: it rejected a kernel of gpubp, and a program of a few lines as well "
                f"(exit status {said.returncode}). {OTHERWISE}{told}"
            )
        raise BackendError(
            f"The C++ compiler rejected a kernel of gpubp (exit status {said.returncode}). This is a defect of "
            f"gpubp: please report it with this message. Until then, engine='array' needs no compiler.{told}"
        )
    built = place / "kernel.so"
    content = built.read_bytes() if built.is_file() and not built.is_symlink() else None
    wrong = "there is none" if content is None else defect(content)
    if wrong is not None:
        raise BackendError(
            f"The C++ compiler reported success, but the library that it was to write is unusable: {wrong}. "
            f"{OTHERWISE}{told}"
        )


def _rejects_everything(recipe: _Recipe, place: Path) -> bool:
    probe = _Recipe(PROBE_SOURCE, {PROBE: str(PROBE_ANSWER)}, recipe.flags, recipe.compiler, [])
    try:
        _compile(probe, place)
    except BackendError:
        return True
    return False


def _time_limit(compiler: Compiler) -> float:
    """Seconds. zig compiles the parts of C's library that a program begins with, but only once."""
    if not compiler.is_zig:
        return COMPILE_SECONDS
    if not _zig_told and not any(Path(folder, "o").exists() for folder in compiler.environment().values()):
        _zig_told.append(True)
        print(
            "gpubp: ziglang compiles its C library before the first kernel. It takes up to a minute, once.",
            file=sys.stderr,
            flush=True,
        )
    return ZIG_FIRST_SECONDS if _zig_told else COMPILE_SECONDS


_zig_told: list[bool] = []


def why_not_compile() -> str | None:
    """Why nothing can be compiled and loaded here, in words; None if it can.

    The one answer to this question for a process, whoever asks: found out by compiling a few lines, the first time on
    this machine, and by loading what became of them.
    """
    here = _here()
    return _given_up.get(here) or _why_not_compile(*here)


def give_up(reason: str) -> None:
    """From now on nothing can be compiled in this process: a kernel could not, though the few lines could.

    The first reason stays, and so is said once, whatever other kernels fail by.
    """
    _given_up.setdefault(_here(), reason)


_given_up: dict[tuple[Any, ...], str] = {}


def _here() -> tuple[tuple[str, str, str], tuple[str | None, ...]]:
    """What the answer depends on."""
    return surroundings(), tuple(os.environ.get(name) for name in (VARIABLE, "HOME", "XDG_CACHE_HOME"))


@functools.lru_cache(maxsize=16)
def _why_not_compile(compilers: tuple[str, str, str], variables: tuple[str | None, ...]) -> str | None:
    try:
        library = compile_library(PROBE_SOURCE, {PROBE: PROBE_ANSWER}, include=())
        with workshop(private_folder()) as place:
            (place / "room").write_bytes(bytes(ROOM))
    except BackendError as error:
        return str(error)
    numbers = (ctypes.c_float * 8)()
    aligned = ctypes.addressof(numbers) + -ctypes.addressof(numbers) % 16
    answered = library.function("probe", (ctypes.c_void_p,), ctypes.c_int)(aligned)
    return None if answered == PROBE_ANSWER else f"what {library.path} computes is wrong: the compiler does not work"


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


def _optimization(macros: str, compiler: Compiler) -> tuple[str, ...]:
    """The flags that this compiler knows; others than GNU's define __GNUC__ as well."""
    names = set(re.findall(r"#define (\w+)", macros))
    if "__GNUC__" not in names or "__clang__" in names:
        return (*OTHERS, *(ZIG if compiler.is_zig else ()))
    return (*GNU, *(GNU_X86 if "__x86_64__" in names else ()))
