"""Threads that kernels run on: whatever happens, no call goes on behind a launch's back, and everything is trained."""

from __future__ import annotations

import dis
import sys
import threading
import time
import weakref
from collections.abc import Callable
from itertools import count
from types import FrameType
from typing import Any

import numpy as np
import pytest
from bit_cases import BLOCK_CASES, Case, assert_same_bits, engine, kernel, trained_in_calls

from gpubp.backends import NumpyBackend, host_program, host_threads
from gpubp.backends.host_program import HostProgram
from gpubp.backends.host_threads import _State
from gpubp.backends.interruption import Interruption
from gpubp.engines.block import engine as block_engine
from gpubp.engines.block.engine import BlockEngine
from gpubp.engines.kernel_engine import KernelEngine

BACKEND = NumpyBackend()
THREADS = 4
NOP = dis.opmap["NOP"]  # before which no signal is handled; some are in no handler's range, though their neighbours are


@pytest.fixture(autouse=True)
def _no_helpers_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_threads, "_STATE", _State())


class Watched:
    """Counts the calls of a function that have begun and ended, whichever thread makes them."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.lock, self.begun, self.ended = function, threading.Lock(), 0, 0

    def __call__(self, *arguments: Any) -> None:
        with self.lock:
            self.begun += 1
        try:
            self.function(*arguments)
        finally:
            with self.lock:
                self.ended += 1


def interrupted(function: Callable[[], Any], step: int) -> bool:
    """Call it, and raise KeyboardInterrupt before so many bytecodes of this thread in host_threads.py are done; False
    where it ended before that."""
    left = step

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != host_threads.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_code.co_code[frame.f_lasti] != NOP:
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_a_launch_interrupted_anywhere_leaves_no_call_behind() -> None:
    for step in count(1):
        doze = Watched(lambda seconds: time.sleep(seconds))
        calls = [[0.0005]] * 6
        came = interrupted(lambda: host_threads.share_out(doze, calls, 3, None), step)  # noqa: B023
        assert doze.begun == doze.ended
        assert not host_threads._STATE.under_way
        if not came:
            assert doze.ended == 6
            break
    assert step > 100
    time.sleep(0.01)
    assert doze.ended == 6


def launch_of_a_team(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[Watched, Callable[[], Any]]]:
    """Gives the launch of a training by a team, and its kernel; each a new one."""
    case = BLOCK_CASES[4]
    ours = kernel(case)
    program = HostProgram(ours.source, ours.definitions(), threads=3)

    def begin() -> tuple[Watched, Callable[[], Any]]:
        captured: list[Any] = []
        monkeypatch.setattr(host_program, "run_together", lambda *arguments: captured.append(arguments) or 1.0)
        training = engine(BACKEND, case, epochs=1, program=program, keep=np.array([0]))
        assert isinstance(training, BlockEngine)
        training.by_team = True
        KernelEngine.run(training, 0, 1, Interruption())  # whatever came faster
        function, calls, meeting, arrays = captured[0]
        watched = Watched(function)
        return watched, lambda: host_threads.run_together(watched, calls, meeting, (arrays, training))

    return begin


def test_a_team_interrupted_anywhere_leaves_no_member_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members wait for one another, so that none may be missing without the others being told."""
    monkeypatch.setattr(block_engine, "MEMBER_OPERATIONS", 1)
    begin = launch_of_a_team(monkeypatch)
    for step in count(1):
        kernel_calls, launch = begin()
        came = interrupted(launch, step)
        assert kernel_calls.begun == kernel_calls.ended
        if not came:
            assert kernel_calls.ended == 3
            break
    assert step > 50


class Limit:
    """Of threads that can still be started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self.left, start = left, threading.Thread.start

        def limited(thread: threading.Thread) -> None:
            if self.left == 0:
                raise RuntimeError("can't start new thread")
            self.left -= 1
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)


@pytest.mark.parametrize("left", range(THREADS - 1))
def test_a_team_that_cannot_be_complete_is_one_thread(monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    case, keep = BLOCK_CASES[4], np.array([1])
    expected, its_metrics = trained_in_calls(BACKEND, case, (1, 2), keep=keep)
    monkeypatch.setattr(block_engine, "MEMBER_OPERATIONS", 1)
    monkeypatch.setattr(block_engine, "others_waiting", lambda: 0.0)
    ours = kernel(case)
    program = HostProgram(ours.source, ours.definitions(), threads=THREADS)
    Limit(monkeypatch, left)
    with pytest.warns(UserWarning, match=r"by one thread instead of several: .*can't start new thread") as told:
        found, metrics = trained_in_calls(BACKEND, case, (1, 2), program, keep=keep)
    assert len(told) == 1
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


@pytest.mark.parametrize("case", [BLOCK_CASES[i] for i in (0, 4)], ids=str)
@pytest.mark.parametrize("left", range(THREADS - 1))
def test_fewer_threads_train_everything(monkeypatch: pytest.MonkeyPatch, case: Case, left: int) -> None:
    expected, its_metrics = trained_in_calls(BACKEND, case, (1, 2))
    ours = kernel(case)
    program = HostProgram(ours.source, ours.definitions(), threads=THREADS)
    Limit(monkeypatch, left)
    with pytest.warns(UserWarning, match=rf"computes on {left + 1} instead of 4 threads: .*can't start") as told:
        found, metrics = trained_in_calls(BACKEND, case, (1, 2), program)
    assert len(told) == 1
    assert_same_bits(found, expected)
    assert_same_bits(metrics, its_metrics)


def test_what_a_helper_comes_upon_is_raised() -> None:
    """Its call was not made: the numbers would be wrong."""

    def doze(number: int) -> None:
        time.sleep(0.001)
        if threading.current_thread() is not threading.main_thread():
            raise MemoryError(number)

    with pytest.raises(MemoryError):
        host_threads.share_out(doze, [[i] for i in range(20)], 2, None)
    assert not host_threads._STATE.under_way


def test_arrays_are_let_go_of_after_a_launch() -> None:
    class Array:
        pass

    array = Array()
    gone = weakref.ref(array)
    host_threads.share_out(lambda: time.sleep(0.001), [[]] * 4, 2, array)
    del array
    assert gone() is None
