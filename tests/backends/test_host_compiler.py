"""The host compiler and its cache: found, keyed, whole, private, and clear when something is wrong."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread, Timer
from typing import Any

import numpy as np
import pytest

from gpubp.backends import kernel_cache
from gpubp.backends.host_compiler import Compiler, HostLibrary, compile_library, find_compiler, runnable_isas
from gpubp.backends.host_program import HostProgram
from gpubp.backends.kernel_cache import cache_entries, cache_folder, clear_cache
from gpubp.errors import BackendError

OPTIMISATION = "shipped"
ANSWER = 'extern "C" int answer() { return VALUE; }\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder (not made yet), and no CXX."""
    place = tmp_path / "cache"
    monkeypatch.setenv("GPUBP_CACHE_DIR", str(place))
    monkeypatch.delenv("CXX", raising=False)
    return place


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    place = tmp_path / "headers"
    place.mkdir()
    return place


def build(headers: Path, value: object = 42, source: str = ANSWER, **options: Any) -> HostLibrary:
    return compile_library(source, {"VALUE": value}, include=headers, **options)


def answer(library: HostLibrary) -> int:
    return int(library.function("answer", (), ctypes.c_int)())


def program(path: Path, lines: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


def real_compiler() -> str:
    compiler = find_compiler()
    assert compiler is not None, "these tests need a C++ compiler"
    return compiler.command[0]


# ------------------------------------------------------------------------------------------------ the compiler
def test_a_compiler_is_found_with_its_version(folder: Path) -> None:
    compiler = find_compiler()
    assert compiler is not None
    assert Path(compiler.command[0]).is_absolute()
    assert any(character.isdigit() for character in compiler.version)


def test_cxx_comes_first_and_may_have_arguments(
    folder: Path, headers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = program(tmp_path / "my compiler", f'exec {real_compiler()} "$@"')
    monkeypatch.setenv("CXX", f"'{mine}' -DVALUE=7")
    compiler = find_compiler()
    assert compiler is not None
    assert compiler.command == (str(mine), "-DVALUE=7")
    assert answer(compile_library(ANSWER, {}, include=headers)) == 7


@pytest.mark.parametrize("chosen", ["/nowhere/to/be/found", "no-such-compiler-here", "false", "/"])
def test_a_cxx_that_cannot_run_is_no_silent_fallback(
    chosen: str, folder: Path, headers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", chosen)
    for use in (find_compiler, lambda: build(headers)):
        with pytest.raises(BackendError, match=f"CXX names the C\\+\\+ compiler '{chosen}', which cannot be run"):
            use()


def test_the_candidates_are_tried_in_order_and_broken_ones_passed_over(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    program(tmp_path / "bin" / "clang++", "echo third 3.0")
    second = program(tmp_path / "bin" / "g++", "echo second 2.0; echo more")
    program(tmp_path / "bin" / "c++", "exit 1")
    assert find_compiler() == Compiler((str(second),), "second 2.0")


def test_no_compiler_says_what_to_install(
    folder: Path, headers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() is None
    with pytest.raises(BackendError, match=r"No C\+\+ compiler found.*apt install g\+\+.*engine='array'"):
        build(headers)


def test_the_cpu_runs_what_it_is_compiled_for(folder: Path, headers: Path) -> None:
    compiler = find_compiler()
    assert compiler is not None
    macros = {"sse2": "__SSE2__", "avx2": "__FMA__", "avx512": "__AVX512F__"}
    for isa in runnable_isas(compiler):
        source = f'#ifndef {macros[isa]}\n#error\n#endif\nextern "C" int answer() {{ return VALUE; }}'
        assert answer(build(headers, source=source, isa=isa)) == 42


def test_arithmetic_is_as_written(folder: Path, headers: Path) -> None:
    """On a CPU with fma, a·b + c still rounds twice, denormal results stay, and NaN is respected."""
    source = """extern "C" double calculate(double a, double b, double c) { return a * b + c; }
                extern "C" int is_nan(double a) { return a != a; }"""
    library = build(headers, source=source)
    calculate = library.function("calculate", (ctypes.c_double,) * 3, ctypes.c_double)
    a = 1 + 2.0**-27
    assert calculate(a, a, -(a * a)) == 0
    assert calculate(2.0**-1000, 2.0**-70, 0.0) == 2.0**-1070
    assert library.function("is_nan", (ctypes.c_double,), ctypes.c_int)(float("nan")) == 1


# --------------------------------------------------------------------------------------------------- the result
def test_clang_is_not_asked_for_what_only_gnu_compilers_know(
    folder: Path, headers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clang = f"""case "$*" in *-dM*) echo '#define __GNUC__ 4'; echo '#define __clang__ 1'; exit;; esac
case "$*" in *-fvect*|*-fpeel*|*-falign*) echo 'unknown argument' >&2; exit 1;; esac
exec {real_compiler()} "$@\""""
    monkeypatch.setenv("CXX", str(program(tmp_path / "bin" / "clang++", clang)))
    library = build(headers)
    assert answer(library) == 42
    assert "-O3" in json.loads(record_of(library.path).read_text())["flags"]


def test_compiled_once_then_found(folder: Path, headers: Path) -> None:
    first, second = build(headers), build(headers)
    assert (answer(first), answer(second)) == (42, 42)
    assert (first.cached, second.cached) == (False, True)
    assert first.seconds > 0
    assert second.seconds == 0
    assert first.path == second.path
    assert first.path.parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".so"]


def test_definitions_are_written_as_cpp_reads_them(folder: Path, headers: Path) -> None:
    assert answer(build(headers, True)) == 1
    assert answer(build(headers, False)) == 0
    source = 'extern "C" int answer() { int values[] = {VALUE}; return sizeof values / sizeof *values + values[2]; }'
    assert answer(build(headers, (16, 64, 5), source)) == 8


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=1"])
def test_a_name_that_no_macro_can_have(name: str, folder: Path, headers: Path) -> None:
    with pytest.raises(BackendError, match="no name that a C\\+\\+ macro can have"):
        compile_library(ANSWER, {name: 1}, include=headers)


def test_a_missing_function_is_named(folder: Path, headers: Path) -> None:
    with pytest.raises(BackendError, match="no function 'question'"):
        build(headers).function("question", ())


def test_two_users_of_one_function_do_not_share_its_signature(folder: Path, headers: Path) -> None:
    library = build(headers, source='extern "C" long long answer(long long x) { return x; }')
    wide = library.function("answer", (ctypes.c_longlong,), ctypes.c_longlong)
    library.function("answer", (), ctypes.c_int)
    assert wide(2**40) == 2**40


def test_everything_that_decides_the_content_is_in_the_key(
    folder: Path, headers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (headers / "outer.h").write_text('#include "inner.h"\n')
    (headers / "inner.h").write_text("#define ADDED 1\n")
    (headers / "unrelated.h").write_text("")
    source = '#  include "outer.h"\nextern "C" int answer() { return VALUE + ADDED; }\n'

    def made(value: object = 42, text: str = source, **options: Any) -> tuple[int, bool]:
        library = build(headers, value, text, **options)
        return answer(library), library.cached

    assert made() == (43, False)
    assert made(1) == (2, False)  # definitions
    assert made(text=source.replace("VALUE", "10 + VALUE")) == (53, False)  # source
    assert made(extra=("-O1",)) == (43, False)  # flags
    assert made(isa="sse2") == (43, False)
    (headers / "inner.h").write_text("#define ADDED 2\n")
    assert made() == (44, False)  # a header's header
    (headers / "unrelated.h").write_text("// changed")
    assert made() == (44, True)
    other = program(tmp_path / "other-c++", f'exec {real_compiler()} "$@"')
    monkeypatch.setenv("CXX", str(other))
    assert made() == (44, False)  # the compiler
    assert made() == (44, True)
    assert len(cache_entries()) == 7


def test_a_header_may_lie_in_a_second_folder(folder: Path, headers: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "extra.h").write_text("#define ADDED 5\n")
    source = '#include "extra.h"\nextern "C" int answer() { return VALUE + ADDED; }\n'
    assert answer(compile_library(source, {"VALUE": 1}, include=(headers, tmp_path / "more"))) == 6


def test_a_header_never_stands_in_for_the_systems(folder: Path, headers: Path) -> None:
    (headers / "stdint.h").write_text("#error ours\n")
    assert answer(build(headers, source="#include <stdint.h>\n" + ANSWER)) == 42


def test_a_rejected_source_shows_the_compilers_words(folder: Path, headers: Path) -> None:
    source = "\n".join(f"int a{i} = nothing{i};" for i in range(40))
    with pytest.raises(BackendError) as caught:
        build(headers, source=source)
    message = str(caught.value)
    assert "defect of gpubp: please report it" in message
    assert "engine='array'" in message
    assert "kernel.cpp:1:" in message
    assert "nothing0" in message
    assert "-DVALUE=42" in message
    assert message.endswith("…")
    assert len(message.splitlines()) < 30
    assert list(folder.iterdir()) == []  # neither an entry nor the workshop


# ------------------------------------------------------------------------------------------------------ damage
def replace(path: Path, content: bytes) -> None:
    """New content under a name; the old file stays whole for whoever has it loaded."""
    path.unlink()
    path.write_bytes(content)


def truncate(library: Path) -> None:
    replace(library, library.read_bytes()[:1000])


def flip_a_bit(library: Path) -> None:
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    replace(library, bytes(content))


def lose_the_library(library: Path) -> None:
    library.unlink()


def lose_the_record(library: Path) -> None:
    record_of(library).unlink()


def empty_the_record(library: Path) -> None:
    record_of(library).write_text("")


def list_as_record(library: Path) -> None:
    record_of(library).write_text("[1, 2]")


def record_without_flags(library: Path) -> None:
    record = json.loads(record_of(library).read_text())
    record_of(library).write_text(json.dumps({**record, "flags": None}))


def record_that_points_elsewhere(library: Path) -> None:
    """A library outside of the folder, whole and with a matching name: still not one of the cache's."""
    other = library.parent.parent / library.name
    shutil.move(library, other)
    record = json.loads(record_of(library).read_text())
    record_of(library).write_text(json.dumps({**record, "library": f"../{other.name}"}))


def record_of(library: Path) -> Path:
    return library.with_name(f"{library.name[:64]}.json")


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip_a_bit,
        lose_the_library,
        lose_the_record,
        empty_the_record,
        list_as_record,
        record_without_flags,
        record_that_points_elsewhere,
    ],
)
def test_a_damaged_entry_is_built_again(damage: Callable[[Path], None], folder: Path, headers: Path) -> None:
    damage(build(headers).path)
    again = build(headers)
    assert (answer(again), again.cached) == (42, False)
    assert build(headers).cached


# --------------------------------------------------------------------------------------------- many at the same time
RACER = """
import ctypes, sys
from pathlib import Path
from gpubp.backends.host_compiler import compile_library
library = compile_library(sys.argv[1], {"VALUE": 42}, include=Path(sys.argv[2]))
print(library.function("answer", (), ctypes.c_int)(), library.cached)
"""


def test_processes_that_compile_the_same_thing_at_once(
    folder: Path, headers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each compiler waits until all three have begun, so all three really write the same entry."""
    begun = tmp_path / "begun"
    begun.mkdir()
    waiting = f"""
case "$*" in *kernel.cpp*)
  touch {begun}/$$
  for i in $(seq 600); do [ $(ls {begun} | wc -l) -ge 3 ] && break; sleep 0.05; done
esac
exec {real_compiler()} "$@"
"""
    monkeypatch.setenv("CXX", str(program(tmp_path / "bin" / "c++", waiting)))
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, ANSWER, str(headers)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [racer.communicate(timeout=60)[0] for racer in racers] == ["42 False\n"] * 3
    assert len(list(begun.iterdir())) == 3
    assert len(cache_entries()) == 1
    assert not list(folder.glob("building-*"))
    assert build(headers).cached


def test_a_compiler_that_dies_half_way_leaves_nothing(
    folder: Path, headers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = f'case "$*" in *kernel.cpp*) echo half > kernel.so; kill -9 $$;; esac; exec {real_compiler()} "$@"'
    monkeypatch.setenv("CXX", str(program(tmp_path / "bin" / "c++", dying)))
    with pytest.raises(BackendError, match="exit status -9"):
        build(headers)
    assert list(folder.iterdir()) == []


# ------------------------------------------------------------------------------------------------------ the folder
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(mode: int, folder: Path, headers: Path) -> None:
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(BackendError, match=rf"Others may write.*mode {mode:04o}.*chmod 700 .*cache") as caught:
        build(headers)
    assert "GPUBP_CACHE_DIR" in str(caught.value)
    assert list(folder.iterdir()) == []
    with pytest.raises(BackendError, match="Others may write"):
        clear_cache()
    folder.chmod(0o700)  # the remedy works
    assert answer(build(headers)) == 42


def test_a_folder_of_another_user_is_refused(folder: Path, headers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(headers)
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(BackendError, match=rf"belongs to another user \(uid {owner}, you are {owner + 1}\)"):
        build(headers)


def test_a_folder_that_cannot_be_made(headers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for place, reason in [("file", "File exists"), ("file/cache", "Not a directory|File exists")]:
        monkeypatch.setenv("GPUBP_CACHE_DIR", str(tmp_path / place))
        with pytest.raises(BackendError, match=rf"{place} cannot be used: ({reason})\. Set GPUBP_CACHE_DIR"):
            build(headers)


def test_a_folder_that_cannot_be_written_to(folder: Path, headers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the operating system reports it; an administrator's rights would hide a folder's mode from this test."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BackendError, match="cannot be used: it is not writable"):
        build(headers)


def test_a_full_disk(folder: Path, headers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kernel_cache.tempfile, "mkdtemp", full)
    with pytest.raises(BackendError, match=r"Nothing can be written to the kernel cache folder .*No space left"):
        build(headers)


def test_the_folder_is_the_platforms_unless_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GPUBP_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "gpubp" in cache_folder().parts
    assert tmp_path in cache_folder().parents
    monkeypatch.setenv("GPUBP_CACHE_DIR", "~/kernels")
    assert cache_folder() == tmp_path / "kernels"


# ------------------------------------------------------------------------------------------ what is kept, and clearing
def test_entries_say_what_they_are(folder: Path, headers: Path) -> None:
    assert cache_entries() == []
    older, newer = build(headers, 1), build(headers, (2, 3), source='extern "C" int a[] = {VALUE};')
    entries = cache_entries()
    assert [entry.library for entry in entries] == [newer.path, older.path]
    assert entries[0].definitions == {"VALUE": "2,3"}
    assert entries[0].bytes == newer.path.stat().st_size
    assert entries[0].seconds == newer.seconds
    assert "-ffp-contract=off" in entries[0].flags
    assert abs(entries[0].made - time.time()) < 60
    compiler = find_compiler()
    assert compiler is not None
    assert entries[0].compiler == compiler.version


def test_clearing_takes_the_caches_own_files_only(folder: Path, headers: Path) -> None:
    assert clear_cache() == (0, 0)  # there is no folder yet
    library = build(headers)
    (folder / "letter.json").write_text("{}")
    (folder / "other.so").write_text("x")
    left, busy = folder / "building-left", folder / "building-busy"
    for place in (left, busy):
        place.mkdir()
        (place / "kernel.cpp").write_text("")
    os.utime(left, (0, 0))  # a process that died long ago; `busy` is at work
    size = sum(path.stat().st_size for path in folder.glob(f"{library.path.name[:64]}*"))
    assert clear_cache() == (2, size)
    assert sorted(path.name for path in folder.iterdir()) == ["building-busy", "letter.json", "other.so"]
    assert cache_entries() == []
    assert answer(library) == 42  # still loaded
    assert not build(headers).cached


def test_a_process_loads_a_program_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from gpubp.backends.host_program import loaded_program

    source = 'extern "C" int lane_count() { return WIDTH; }\n'
    one = loaded_program(source, {"WIDTH": 3})
    assert loaded_program(source, {"WIDTH": 3}) is one
    assert loaded_program(source, {"WIDTH": 4}).lanes == 4
    monkeypatch.setenv("GPUBP_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert loaded_program(source, {"WIDTH": 3}) is not one


SLEEPERS = """
extern "C" int usleep(unsigned);
extern "C" void doze(int* done, int first, int last) {
  usleep(20000);
  for (int i = first; i < last; i++) __atomic_add_fetch(done + i, 1, __ATOMIC_RELAXED);
}
extern "C" int lane_count() { return 1; }
"""


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_call_of_a_launch_is_made_once(folder: Path, threads: int) -> None:
    sleepers = HostProgram(SLEEPERS, {}, threads=threads)
    done = np.zeros(40, dtype=np.int32)
    launches = [
        Thread(target=sleepers.launch, args=("doze", [[done, i, i + 4] for i in range(first, first + 20, 4)]))
        for first in (0, 20)
    ]
    for launch in launches:  # at the same time
        launch.start()
    for launch in launches:
        launch.join()
    sleepers.launch("doze", [[done, i, i + 1] for i in range(3)])
    assert done.tolist() == [2, 2, 2, *[1] * 37]


def test_ctrl_c_waits_for_the_calls_that_have_begun(folder: Path) -> None:
    """Their arrays are let go of after it."""
    sleepers = HostProgram(SLEEPERS, {}, threads=2)
    done = np.zeros(200, dtype=np.int32)
    Timer(0.1, signal.raise_signal, [signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        sleepers.launch("doze", [[done, i, i + 1] for i in range(200)])
    found = done.copy()
    assert 0 < found.sum() < 200
    time.sleep(0.1)
    assert done.tolist() == found.tolist()
