"""Compilers as they are met: relative paths, quotes, ones that hang or write nothing, ziglang, Ctrl-C, many threads."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Thread

import numpy as np
import pytest

from gpubp import sweep
from gpubp.backends import compiler_process, compilers, host_compiler
from gpubp.backends.compiler_process import CompilerHangs, interrupt_compilers, run_compiler
from gpubp.backends.host_compiler import HostLibrary, compile_library, find_compiler
from gpubp.backends.interruption import Interruption
from gpubp.backends.kernel_cache import cache_entries
from gpubp.backends.once import OncePerKey
from gpubp.errors import BackendError

ANSWER = 'extern "C" int answer() { return VALUE; }\n'
REAL = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++") or ""
SAYS = f'case "$*" in *--version*) echo mine 1.0; exit;; *-dM*) exec {REAL} "$@";; esac\n'

pytestmark = [
    pytest.mark.skipif(not REAL, reason="no C++ compiler on this machine"),
    pytest.mark.skipif(os.name != "posix", reason="these compilers are shell scripts"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no CXX."""
    monkeypatch.setenv("GPUBP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "cache"


def script(path: Path, lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


def build(value: int = 42) -> HostLibrary:
    return compile_library(ANSWER, {"VALUE": value}, include=())


def answer(library: HostLibrary) -> int:
    return int(library.function("answer", (), ctypes.c_int)())


# -------------------------------------------------------------------------------------------------------- finding one
@pytest.mark.parametrize("chosen", ["./mine++", "tools/../mine++", "sh ./mine++"])
def test_a_cxx_relative_to_the_current_folder(chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "mine++", f'exec {REAL} "$@"')
    (tmp_path / "tools").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXX", chosen)
    assert answer(build()) == 42


@pytest.mark.parametrize("path", ["bin", "", "."])
def test_a_path_with_a_relative_folder(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script(tmp_path / "bin" / "c++", f'exec {REAL} "$@"').parent.parent)
    if path != "bin":
        monkeypatch.chdir(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}{os.environ['PATH']}")
    compiler = find_compiler()
    assert compiler is not None
    assert compiler.command == (str(tmp_path / "bin" / "c++"),)
    assert answer(build()) == 42


@pytest.mark.parametrize("chosen", ['g++ "', "g++ \\", "'g++"])
def test_a_cxx_that_no_shell_would_read(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", chosen)
    with pytest.raises(BackendError, match=r"CXX names .* which cannot be read as a command: No "):
        build()


@pytest.mark.parametrize("chosen", ["''", '"" g++'])
def test_a_cxx_of_nothing(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", chosen)
    with pytest.raises(BackendError, match="cannot be run"):
        build()


# ------------------------------------------------------------------------------------------------- those that misbehave
def test_one_that_does_not_say_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "QUESTION_SECONDS", 0.5)
    monkeypatch.setenv("CXX", str(script(tmp_path / "hangs", "exec sleep 1000")))
    for _ in range(2):
        with pytest.raises(BackendError, match=r"asked for its version, hangs did not end within 0 s|within 1 s"):
            build()
    monkeypatch.delenv("CXX")
    good = script(tmp_path / "bin" / "g++", f'exec {REAL} "$@"')
    script(tmp_path / "bin" / "c++", "exec sleep 1000")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    compiler = find_compiler()  # it is passed over
    assert compiler is not None
    assert compiler.command == (str(good),)


def test_one_that_never_ends_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_compiler, "COMPILE_SECONDS", 1.0)
    hangs = script(tmp_path / "hangs", f"{SAYS}sleep 1000 & echo $! > {tmp_path}/child; wait")
    monkeypatch.setenv("CXX", str(hangs))
    with pytest.raises(BackendError, match=r"could not be compiled: hangs did not end within 1 s, and was ended"):
        build()
    assert_ended(int((tmp_path / "child").read_text()))
    assert list((tmp_path / "cache").iterdir()) == []


def assert_ended(process: int) -> None:
    for _ in range(200):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{process}/stat").is_file() and ") Z" in Path(f"/proc/{process}/stat").read_text():
            return  # only its parent has not asked for it yet
        time.sleep(0.05)
    pytest.fail("it goes on")


@pytest.mark.parametrize(
    ("writes", "words"),
    [
        ("true", "there is none"),
        ("echo rubbish > kernel.so", "it is no shared library"),
        (": > kernel.so", "it is empty"),
        ("ln -s /etc/passwd kernel.so", "there is none"),
        (f'{REAL} "$@" && head -c 1000 kernel.so > half && mv half kernel.so', "it ends before its contents do"),
        (f'{REAL} "$@" && head -c 30 kernel.so > half && mv half kernel.so', "in the middle of its headers"),
        ("cp /bin/sh kernel.so && head -c 5000 kernel.so > half && mv half kernel.so", "it"),
    ],
)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libraries are looked into on Linux")
def test_what_it_writes_is_no_library(
    writes: str, words: str, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", str(script(tmp_path / "bad++", SAYS + writes)))
    for _ in range(2):  # nothing is kept
        with pytest.raises(BackendError, match=f"reported success, but .* unusable: .*{words}"):
            build()
    assert list(folder.iterdir()) == []


def test_one_without_its_headers_is_no_defect_of_gpubp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = script(tmp_path / "slim++", f'{SAYS}echo "fatal: no crt1.o" >&2; exit 1')
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(BackendError, match=r"compiler does not work: .*exit status 1(.|\n)*no crt1\.o") as caught:
        build()
    assert "defect" not in str(caught.value)


def test_a_library_without_the_function_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = script(tmp_path / "other++", f'{SAYS}echo > kernel.cpp; exec {REAL} "$@"')
    monkeypatch.setenv("CXX", str(other))
    with pytest.raises(BackendError, match=r"no function 'answer'. It was deleted"):
        answer(build())
    script(other, f'exec {REAL} "$@"')
    assert answer(build()) == 42


def test_temporary_files_go_to_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or closed /tmp is no obstacle."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    mine = script(
        tmp_path / "mine++", f'[ -w "$TMPDIR" ] || case "$*" in *kernel.cpp*) exit 9;; esac; exec {REAL} "$@"'
    )
    monkeypatch.setenv("CXX", str(mine))
    assert answer(build()) == 42


# -------------------------------------------------------------------------------------------------------------- Ctrl-C
INTERRUPTED = """
import sys
from gpubp.backends.host_compiler import compile_library
compile_library('extern "C" int answer() { return 1; }', {}, include=())
"""


def test_ctrl_c_while_it_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = script(
        tmp_path / "slow++",
        f"{SAYS}echo $$ > {tmp_path}/begun.part; mv {tmp_path}/begun.part {tmp_path}/begun; exec sleep 1000",
    )
    monkeypatch.setenv("CXX", str(slow))
    compiling = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "begun").exists() and compiling.poll() is None:
        time.sleep(0.02)
    compiling.send_signal(signal.SIGINT)
    words = compiling.communicate(timeout=60)[1]
    assert compiling.returncode == -signal.SIGINT
    assert words.strip().splitlines()[-1].startswith("KeyboardInterrupt")
    assert_ended(int((tmp_path / "begun").read_text()))
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("death", ["kill -INT $$", "exit 130"])
def test_a_compiler_that_ctrl_c_ended(death: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(script(tmp_path / "ended++", SAYS + death)))
    with pytest.raises(KeyboardInterrupt):
        build()


def test_compilers_of_other_threads_can_be_interrupted(tmp_path: Path) -> None:
    slow, caught = script(tmp_path / "slow", "touch begun; exec sleep 1000"), Event()

    def wait() -> None:
        try:
            run_compiler([str(slow)], 60, tmp_path)
        except KeyboardInterrupt:
            caught.set()

    thread = Thread(target=wait)
    thread.start()
    while not (tmp_path / "begun").exists():
        time.sleep(0.02)
    interrupt_compilers(1000.0)  # it has not run for so long
    assert compiler_process._running.processes
    interrupt_compilers()
    thread.join(30)
    assert caught.is_set()
    assert not compiler_process._running.processes
    interrupt_compilers()  # nobody is left


def test_ctrl_c_in_a_sweep_ends_a_compiler_that_hangs(tmp_path: Path) -> None:
    """Which other threads wait for."""
    slow = script(tmp_path / "slow", "touch begun; exec sleep 1000")
    with Interruption() as interruption, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(run_compiler, [str(slow)], 60, tmp_path)
        while not (tmp_path / "begun").exists():
            time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested
        assert not waiting.done()  # it may be about to end
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            waiting.result(30)


def test_ctrl_c_while_a_sweep_compiles_ends_it_with_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this thread, and in others."""
    real = find_compiler()
    assert real is not None
    lines = f'case "$*" in *-DREAL*) touch {tmp_path}/begun; exec sleep 1000;; esac; exec {real.command[0]} "$@"'
    monkeypatch.setenv("CXX", str(script(tmp_path / "slow", lines)))
    handler, X = signal.getsignal(signal.SIGINT), np.arange(40.0).reshape(20, 2)
    for engine, hidden in (("block", [(2,)]), ("lane", [(2,), (3,), (4,)])):
        (tmp_path / "begun").unlink(missing_ok=True)

        def interrupt() -> None:
            while not (tmp_path / "begun").exists():
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)

        thread = Thread(target=interrupt)
        thread.start()
        space = {"hidden": hidden, "epochs": 2}
        found = sweep(X, X[:, 0], space, strategy="grid", cv=2, engine=engine)
        thread.join()
        assert found.interrupted
        assert found.ended_early
        assert [trial.status for trial in found.trials] == ["unfinished"] * len(hidden)
        assert signal.getsignal(signal.SIGINT) is handler


def test_a_process_that_left_its_group_keeps_nobody_waiting(tmp_path: Path) -> None:
    """It holds the pipe that its parent's words come through."""
    if shutil.which("setsid") is None:
        pytest.skip("no setsid on this machine")
    leaves = script(tmp_path / "leaves", f"setsid sleep 20 & echo $! > {tmp_path}/child; exec sleep 1000")
    began = time.monotonic()
    with pytest.raises(CompilerHangs):
        run_compiler([str(leaves)], 0.5)
    assert time.monotonic() - began < 15
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


# ------------------------------------------------------------------------------------------------------ several threads
def test_threads_that_need_one_library_compile_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = f'case "$*" in *kernel.cpp*) echo x >> {tmp_path}/times;; esac\nexec {REAL} "$@"'
    monkeypatch.setenv("CXX", str(script(tmp_path / "counting", counting)))
    together = Barrier(6)

    def one(_: int) -> int:
        together.wait()
        return answer(build())

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(one, range(6))) == [42] * 6
    assert (tmp_path / "times").read_text() == "x\n"
    assert len(cache_entries()) == 1


def test_threads_that_wait_for_what_fails_all_hear_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(script(tmp_path / "fails", f"{SAYS}sleep 0.3; exit 1")))
    errors: list[str] = []
    together = Barrier(3)

    def one() -> None:
        together.wait()
        try:
            build()
        except BackendError as error:
            errors.append(str(error))

    threads = [Thread(target=one, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(errors) == 3
    assert all("does not work" in error for error in errors)


def test_work_that_was_interrupted_is_done_by_who_waits() -> None:
    once: OncePerKey[int] = OncePerKey()
    begun, goes_on, results = Event(), Event(), list[object]()

    def interrupted() -> int:
        begun.set()
        goes_on.wait(30)
        raise KeyboardInterrupt

    def get(do: Callable[[], int]) -> None:
        try:
            results.append(once.get("key", do))
        except KeyboardInterrupt:
            results.append("interrupted")

    first = Thread(target=get, args=(interrupted,))
    first.start()
    begun.wait(30)
    second = Thread(target=get, args=(lambda: 7,))
    second.start()
    goes_on.set()
    first.join(30)
    second.join(30)
    assert sorted(map(str, results)) == ["7", "interrupted"]
    assert once.get("key", lambda: 8) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_that_is_forked_meanwhile_waits_for_nobody() -> None:
    once: OncePerKey[int] = OncePerKey()
    begun, goes_on = Event(), Event()

    def slow() -> int:
        begun.set()
        goes_on.wait(60)
        return 1

    thread = Thread(target=once.get, args=("key", slow))
    thread.start()
    begun.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(once.get("key", lambda: 5))
    status = os.waitpid(child, 0)[1]
    goes_on.set()
    thread.join(30)
    assert os.waitstatus_to_exitcode(status) == 5


# ------------------------------------------------------------------------------------------------------------- ziglang
FOUND = """
import ctypes
from gpubp.backends.host_compiler import compile_library, find_compiler
compiler = find_compiler()
print(compiler.command[1:], compiler.version)
library = compile_library('extern "C" int answer() { return 42; }', {}, include=())
print(library.function("answer", (), ctypes.c_int)())
"""


def without_compilers(tmp_path: Path, *more: Path) -> dict[str, str]:
    (tmp_path / "empty").mkdir(exist_ok=True)
    paths = [str(path) for path in (Path(host_compiler.__file__).parents[2], *more)]
    return os.environ | {"PATH": str(tmp_path / "empty"), "PYTHONPATH": os.pathsep.join(paths)}


def pretend_zig(place: Path, compiler: str = REAL) -> Path:
    """A package `ziglang` that hands its arguments on."""
    (place / "ziglang").mkdir(parents=True)
    (place / "ziglang" / "__init__.py").write_text("")
    lines = [
        "import os, sys",
        "assert sys.argv[1] == 'c++'",
        "open(os.environ['ZIG_LOCAL_CACHE_DIR'] + '/used', 'w').close() if '-shared' in sys.argv else None",
        "given = [argument for argument in sys.argv[2:] if argument != '-nostdlib++']",
        f"os.environ['PATH'] = {os.environ['PATH']!r}",
        f"os.execv({compiler!r}, [{compiler!r}, *given])",
    ]
    (place / "ziglang" / "__main__.py").write_text("\n".join(lines))
    return place


def test_ziglang_is_the_compiler_where_there_is_no_other(tmp_path: Path, folder: Path) -> None:
    environment = without_compilers(tmp_path, pretend_zig(tmp_path / "site"))
    found = subprocess.run([sys.executable, "-c", FOUND], env=environment, capture_output=True, text=True, check=True)
    command, said = found.stdout.splitlines()
    assert command.startswith("('-m', 'ziglang', 'c++') ")
    assert said == "42"
    assert (
        found.stderr
        == "gpubp: ziglang compiles its C library before the first kernel. It takes up to a minute, once.\n"
    )
    assert (folder / "zig" / "used").is_file()
    assert (folder / "zig").stat().st_mode & 0o77 == 0


def test_ziglang_comes_last_and_cxx_first(tmp_path: Path) -> None:
    environment = without_compilers(tmp_path, pretend_zig(tmp_path / "site"))
    for change in ({"PATH": os.environ["PATH"]}, {"CXX": REAL}):
        found = subprocess.run(
            [sys.executable, "-c", FOUND], env=environment | change, capture_output=True, text=True, check=True
        )
        assert found.stdout.startswith("() ")


def test_neither_a_compiler_nor_ziglang(tmp_path: Path) -> None:
    """The current folder's `ziglang` is not the package that was installed."""
    pretend_zig(tmp_path / "here")
    code = "from gpubp.backends.host_compiler import *; print(find_compiler()); compile_library('', {}, include=())"
    found = subprocess.run(
        [sys.executable, "-P" if sys.version_info >= (3, 11) else "-s", "-c", code],
        env=without_compilers(tmp_path),
        cwd=tmp_path / "here" if sys.version_info >= (3, 11) else tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        import ziglang  # noqa: F401
    except ImportError:
        assert found.stdout == "None\n"
        assert "pip install 'gpubp[compiler]'" in found.stderr


def test_the_real_ziglang(tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="ziglang is not installed: pip install 'gpubp[compiler]'")
    found = subprocess.run(
        [sys.executable, "-c", FOUND], env=without_compilers(tmp_path), capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines()[-1] == "42"
