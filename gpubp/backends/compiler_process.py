"""Run a compiler: within a time limit, in a process group of its own, so that all of it ends when it has to."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

QUESTION_SECONDS = 20.0  # for what a compiler only says of itself
COMPILE_SECONDS = 50.0  # for a kernel, which takes a second or two
LAST_WORDS_SECONDS = 1.0  # for the pipes to close once a compiler was ended


class CompilerHangs(Exception):
    """The compiler was ended because it took longer than the time limit. Its text says which command, and how long."""


class CompilersInterrupted(KeyboardInterrupt):
    """Ctrl-C, in whichever thread it arrived: raised in every thread that waits for a compiler."""


def run_compiler(
    command: Sequence[str],
    seconds: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command, and give its exit code and messages. environment: variables to set beside this process's own.

    Raises OSError where it cannot be started, CompilerHangs after so many seconds, and KeyboardInterrupt on Ctrl-C or
    `interrupt_compilers`. Nothing of it is left running after any of these.
    """
    variables = os.environ | {"LC_ALL": "C"} | dict(environment or {})  # messages in English, whoever reads the report
    # A session of its own: a driver's children can be ended with it, and Ctrl-C at a terminal reaches us alone.
    process = subprocess.Popen(
        list(command),
        cwd=cwd,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    _running.processes[process] = time.monotonic()
    try:
        output, words = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        raise CompilerHangs(f"{Path(command[0]).name} did not end within {seconds:.0f} s, and was ended") from None
    except BaseException:  # Ctrl-C
        _end(process)
        raise
    finally:
        _running.processes.pop(process, None)
    if process in _running.interrupted:
        _running.interrupted.discard(process)
        raise CompilersInterrupted
    if process.returncode in (-signal.SIGINT, 128 + signal.SIGINT):
        raise KeyboardInterrupt
    return subprocess.CompletedProcess(process.args, process.returncode, output, words)


def interrupt_compilers(seconds: float = 0.0) -> None:
    """End the compilers that have run for so long: each thread that waits for one gets a KeyboardInterrupt."""
    for process, began in tuple(_running.processes.items()):
        if time.monotonic() - began >= seconds:
            _running.interrupted.add(process)
            _kill(process)


class _Registry:
    """Their single operations are atomic under the interpreter's lock: no lock of our own, so none to fork.

    processes: and since when each runs (by time.monotonic). interrupted: those that `interrupt_compilers` has ended.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.processes: dict[subprocess.Popen[str], float] = {}
        self.interrupted: set[subprocess.Popen[str]] = set()


_running = _Registry()
if hasattr(os, "register_at_fork"):  # the parent's compilers are not the child's to end
    os.register_at_fork(after_in_child=_running.clear)


def _end(process: subprocess.Popen[str]) -> None:
    _kill(process)
    try:
        process.communicate(timeout=LAST_WORDS_SECONDS)
    except (subprocess.TimeoutExpired, ValueError, OSError):  # a grandchild that left the group holds a pipe
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):  # it has ended
        pass
