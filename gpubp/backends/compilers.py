"""The C++ compiler of this machine: where it is found, and what it says of itself.

`$CXX` if that is set; else the first of c++, g++ and clang++ that runs; else the clang of the Python package ziglang.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from gpubp.backends.compiler_process import QUESTION_SECONDS, CompilerHangs, run_compiler
from gpubp.backends.kernel_cache import private_subfolder
from gpubp.errors import BackendError

Isa = Literal["native", "sse2", "avx2", "avx512"]

CANDIDATES = ("c++", "g++", "clang++")
ZIG_FOLDERS = ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
# an instruction set, the macros that a compiler defines where the CPU has it, and the flag that asks for it
ISAS: dict[str, tuple[frozenset[str], str]] = {
    "sse2": (frozenset({"__SSE2__"}), "-march=x86-64"),
    "avx2": (frozenset({"__AVX2__", "__FMA__", "__BMI2__"}), "-march=haswell"),
    "avx512": (frozenset({"__AVX512F__", "__AVX512DQ__", "__AVX512BW__", "__AVX512VL__"}), "-march=skylake-avx512"),
}


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler that runs: its command (a program and perhaps arguments) and the first line it says of itself."""

    command: tuple[str, ...]
    version: str

    @property
    def is_zig(self) -> bool:
        return self.command[1:3] == ("-m", "ziglang")

    def machine_flag(self, isa: Isa) -> str:
        """The compiler's option for an instruction set; "native" is for all that this CPU has."""
        if isa == "native":
            # On ARM -march alone leaves the processor's tuning out, and clang long knew -mcpu only.
            return "-mcpu=native" if platform.machine().lower() in ("arm64", "aarch64") else "-march=native"
        flag = ISAS[isa][1]
        return flag.replace("x86-64", "x86_64") if self.is_zig else flag

    def macros(self, isa: Isa = "native") -> str:
        """The macros that it predefines here: a line for each instruction set that it will use, and for its version."""
        return _macros(self.command, self.machine_flag(isa), tuple(self.environment().items()))

    def environment(self) -> dict[str, str]:
        """Variables to set for it: zig keeps parts of its C library compiled, and may do so beside our kernels."""
        names = [name for name in ZIG_FOLDERS if self.is_zig and not os.environ.get(name)]
        return dict.fromkeys(names, str(private_subfolder("zig"))) if names else {}


def no_compiler() -> BackendError:
    return BackendError(
        f"No C++ compiler found (looked for $CXX, {', '.join(CANDIDATES)} and the Python package ziglang)."
        f"{_found(*surroundings())} Install one (pip install 'gpubp[compiler]'; or Debian, Ubuntu: apt install g++; "
        "Fedora: dnf install gcc-c++; macOS: xcode-select --install), or choose engine='array'."
    )


def find_compiler() -> Compiler | None:
    """`$CXX`, else the first of c++, g++, clang++ on PATH that runs, else ziglang's; None if there is none.

    A `$CXX` that cannot be run is a BackendError: it was asked for, so nothing else is taken silently.
    """
    chosen, path, folder = surroundings()
    found = _found(chosen, path, folder)
    if isinstance(found, Compiler):
        return found
    if chosen:
        raise BackendError(found)
    return None


def surroundings() -> tuple[str, str, str]:
    """The settings that decide which compiler is found: $CXX, $PATH, and the folder that these are relative to."""
    chosen, path = os.environ.get("CXX", "").strip(), os.environ.get("PATH", "")
    if all(map(os.path.isabs, path.split(os.pathsep))) and os.sep not in chosen:
        return chosen, path, ""
    try:
        return chosen, path, os.getcwd()
    except OSError:  # it is gone
        return chosen, path, ""


@functools.lru_cache(maxsize=8)
def _found(chosen: str, path: str, folder: str) -> Compiler | str:
    """The compiler, or why there is none: kept, too, because finding out that one hangs takes long."""
    if chosen:
        return _chosen(chosen, path)
    troubles = ""
    for name in CANDIDATES:
        try:
            compiler = _try_compiler((name,), path)
        except CompilerHangs as hangs:
            troubles += f" (Asked for its version, {hangs}.)"
            continue
        if compiler is not None:
            return compiler
    return _ziglang() or troubles


def _chosen(chosen: str, path: str) -> Compiler | str:
    named = f"The environment variable CXX names the C++ compiler {chosen!r}"
    remedy = "Set it to a compiler (for example CXX=g++), or unset it to let gpubp look for one."
    try:
        compiler = _try_compiler(tuple(shlex.split(chosen)), path)
    except CompilerHangs as hangs:
        return f"{named}, which does not answer: asked for its version, {hangs}. {remedy}"
    except ValueError as error:  # of shlex: an open quote
        return f"{named}, which cannot be read as a command: {error}. {remedy}"
    return compiler or f"{named}, which cannot be run. {remedy}"


def _try_compiler(command: tuple[str, ...], path: str) -> Compiler | None:
    program = shutil.which(command[0], path=path) if command and command[0] else None
    if program is None:
        return None
    # It will run in another folder: paths that are relative to this one would lead nowhere.
    return _ask((os.path.abspath(program), *map(_absolute, command[1:])))


def _absolute(argument: str) -> str:
    """Of `ccache ./my-g++`, say."""
    is_path = os.sep in argument and not argument.startswith("-") and os.path.exists(argument)
    return os.path.abspath(argument) if is_path else argument


def _ask(command: tuple[str, ...]) -> Compiler | None:
    try:
        said = run_compiler([*command, "--version"], QUESTION_SECONDS, _own_folder(command))
    except OSError:
        return None
    return Compiler(command, (said.stdout.splitlines() or ["?"])[0]) if said.returncode == 0 else None


def _own_folder(command: tuple[str, ...]) -> Path:
    """Of the program: not the current one, where `python -m` would look for modules first."""
    return Path(command[0]).parent


def _ziglang() -> Compiler | None:
    """The clang of the Python package `ziglang`, where that is installed."""
    try:
        if not sys.executable or find_spec("ziglang") is None:
            return None
        return _ask((sys.executable, "-m", "ziglang", "c++"))
    except (CompilerHangs, ImportError, ValueError):
        return None


@functools.lru_cache(maxsize=32)
def _macros(command: tuple[str, ...], machine: str, environment: tuple[tuple[str, str], ...]) -> str:
    question = [*command, machine, "-dM", "-E", "-x", "c++", os.devnull]
    try:
        said = run_compiler(question, QUESTION_SECONDS, _own_folder(command), dict(environment))
    except (OSError, CompilerHangs):
        return ""
    return "\n".join(sorted(said.stdout.splitlines())) if said.returncode == 0 else ""


def runnable_isas(compiler: Compiler) -> tuple[Isa, ...]:
    """The instruction sets that this CPU runs, of those that can be asked for by name, narrowest first."""
    macros = set(re.findall(r"#define (\w+)", compiler.macros()))
    names: tuple[Isa, ...] = ("sse2", "avx2", "avx512")
    return tuple(name for name in names if ISAS[name][0] <= macros)
