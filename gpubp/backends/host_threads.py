"""Threads that call a C function side by side: a pile of calls that whoever is free takes from, or a team.

Compiled functions go on whatever happens in Python, and know arrays as addresses only. So whoever launches them leaves
(by an error or a Ctrl-C at any moment, too) once nobody is in a call any more, and until then the launch holds the
arrays. A process may be unable to start threads: a limit is reached, or the interpreter is about to end. Then those
that there are do it all, the calling thread alone if need be.

A forked process has none of its parent's threads, and begins with no helpers.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np

from gpubp.backends.base import TooFewThreads

NOT_STARTED = (RuntimeError, MemoryError, OSError)  # what Thread.start raises where there can be no more
GIVEN_UP = 1 << 30  # members of a team that are missing: nobody waits for them any longer (block_cpu.h)
Arguments = Sequence[Any]


def share_out(function: Callable[..., Any], calls: Sequence[Arguments], threads: int, arrays: object) -> None:
    """Make all calls, on so many threads at the most. arrays: whatever the calls' addresses belong to.

    This thread, which is awake already, takes part where nobody else launches. Where several threads launch at a time,
    the helpers, as many as there are cores, do it all: more would only take turns.
    """
    launch = _Launch(function, calls, arrays)
    try:
        try:
            alone = not _STATE.under_way
            _STATE.under_way.add(launch)
            helpers, wanted = _STATE.helpers(threads), min(threads, len(calls)) - alone
            asked = helpers.ask(launch.help, wanted)
            takes_part = alone or asked == 0
            if takes_part:
                launch.make_calls()
            launch.wait()
        finally:
            launch.end()
    except BaseException:
        launch.end()  # the first one may have been interrupted before it began
        raise
    launch.raise_error()
    if asked < wanted:
        _STATE.tell(
            f"gpubp computes on {asked + takes_part} instead of {wanted + alone} threads: no more could be started "
            f"({helpers.refusal})."
        )


def run_together(
    function: Callable[..., Any], calls: Sequence[Arguments], meeting: np.ndarray, arrays: object
) -> float:
    """Make all calls at the same time, for they wait for each other; the least share of a processor that one had.

    meeting: an int32 array, the first number of which says how many of the calls have not begun yet. None of them does
    anything before all have begun. TooFewThreads where that could not be; then none has done anything.
    """
    launch = _Team(function, calls, meeting, arrays)
    refusal: BaseException | None = None
    try:
        try:
            # Threads of their own: of those that share out calls, two launches could each wait for one that the other
            # has.
            for _ in calls[1:]:
                _start(launch.help, "gpubp-team")
        except NOT_STARTED as error:
            refusal = error
        else:
            launch.make_calls()
            launch.wait()
        finally:
            launch.end()
    except BaseException:
        launch.end()  # the first one may have been interrupted before it began
        raise
    launch.raise_error()
    if refusal is not None:
        raise TooFewThreads(str(refusal) or type(refusal).__name__)
    return min(launch.shares)


def tell_of_a_missing_team(error: TooFewThreads) -> None:
    """That a network is trained by one thread."""
    _STATE.tell(f"A network is trained by one thread instead of several: no more could be started ({error}).")


def _start(task: Callable[[], None], name: str) -> None:
    """A thread that does not keep the process from ending."""
    if sys.is_finalizing():  # it would never run
        raise RuntimeError("the interpreter is about to end")
    threading.Thread(target=task, name=name, daemon=True).start()


class _Launch:
    """Calls that are left, and the helpers that are in one of them."""

    def __init__(self, function: Callable[..., Any], calls: Sequence[Arguments], arrays: object) -> None:
        self.function, self.left, self.arrays = function, deque(calls), arrays
        self.error: BaseException | None = None
        # The launching thread takes no lock, which an interruption could leave closed: helpers come in first and look
        # whether it is over then, and it ends the launch first and looks whether somebody is in then.
        self._lock, self._inside, self._over = threading.Lock(), 0, False
        self._gone: SimpleQueue[None] = SimpleQueue()  # helpers that have left, to wake who waits

    def help(self) -> None:
        """By another thread than the launching one; nothing once the launch is over."""
        with self._lock:
            self._inside += 1
        try:
            if not self._over:
                self.make_calls()
        except BaseException as error:
            self.error = error
            self.give_up()
        finally:
            with self._lock:
                self._inside -= 1
            self._gone.put(None)

    def make_calls(self) -> None:
        """As long as there are any."""
        while self.left:
            try:
                call = self.left.popleft()
            except IndexError:  # another took it
                return
            self.function(*call)

    def give_up(self) -> None:
        """No call begins any more."""
        self.left.clear()

    def wait(self) -> None:
        """Until all calls are done."""
        while self.left or self._inside:
            self._gone.get()

    def end(self) -> None:
        """Nobody comes in any more, and all who are in have left. What interrupts it is raised then."""
        raised: BaseException | None = None
        while True:
            try:
                self._over = True
                self.give_up()
                while self._inside:
                    self._gone.get()
                self.arrays = None
                _STATE.under_way.discard(self)
                break
            except BaseException as error:
                raised = error
        if raised is not None:
            raise raised

    def raise_error(self) -> None:
        """Raise the error that a helper came upon, if there is one."""
        if self.error is not None:
            raise self.error


class _Team(_Launch):
    """Each member, this thread too, makes one call."""

    def __init__(
        self, function: Callable[..., Any], calls: Sequence[Arguments], meeting: np.ndarray, arrays: object
    ) -> None:
        super().__init__(function, calls, arrays)
        self.meeting = meeting
        self.shares: list[float] = []

    def make_calls(self) -> None:
        try:
            call = self.left.popleft()
        except IndexError:  # the team has been given up
            return
        began, worked = time.perf_counter(), time.thread_time()
        self.function(*call)
        self.shares.append((time.thread_time() - worked) / max(time.perf_counter() - began, 1e-9))

    def give_up(self) -> None:
        super().give_up()
        # Whoever comes here has not begun its call, so that the others wait; or has made it, and nobody is missing.
        if self.meeting[0] != 0:
            self.meeting[0] = GIVEN_UP


class _Helpers:
    """Threads that wait for launches to help in: started when they are first wanted, and kept.

    Not a ThreadPoolExecutor: that one has no threads in a forked process and does not know it, takes no work once the
    main thread has ended, and keeps work for which it could start no thread, without saying whether somebody else does
    it.
    """

    def __init__(self, most: int) -> None:
        self.refusal = ""  # why the last thread was not started
        self._most, self._vacant = most, deque([None] * most)
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def ask(self, help_: Callable[[], None], wanted: int) -> int:
        """So many threads are to call it once each; how many will, for there may be fewer."""
        if sys.is_finalizing():  # threads stand still
            return 0
        while len(self._vacant) > self._most - wanted and self._start_one():
            pass
        count = min(wanted, self._most - len(self._vacant))
        for _ in range(count):
            self._asked.put(help_)
        return count

    def _start_one(self) -> bool:
        """Without a lock, which an interruption could leave closed."""
        try:
            self._vacant.popleft()
        except IndexError:  # other launches have started the last ones
            return False
        try:
            _start(self._serve, "gpubp")
        except BaseException as error:
            self._vacant.append(None)
            if not isinstance(error, NOT_STARTED):
                raise
            self.refusal = str(error) or type(error).__name__
            return False
        return True

    def _serve(self) -> None:
        while True:
            help_ = self._asked.get()
            help_()
            del help_  # it holds a launch's arrays


class _State:
    """What this process has; a forked one begins anew."""

    def __init__(self) -> None:
        self.under_way: set[_Launch] = set()
        self._helpers: dict[int, _Helpers] = {}
        self._told = False

    def helpers(self, threads: int) -> _Helpers:
        """Those that share out calls among so many threads: as many programs as there are have the same ones."""
        return self._helpers.setdefault(threads, _Helpers(threads))

    def tell(self, words: str) -> None:
        """Once in a process, and not while it ends, when no thread may be started."""
        if self._told or not threading.main_thread().is_alive():
            return
        self._told = True
        warnings.warn(
            f"{words} Look at the limits of processes (`ulimit -u`, a container's number of pids). The results are "
            "the same, but take longer.",
            stacklevel=3,
        )


_STATE = _State()


def _begin_anew() -> None:
    global _STATE
    _STATE = _State()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_begin_anew)
