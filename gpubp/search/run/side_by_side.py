"""Populations side by side: while kernels of one run, Python prepares the next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from gpubp.backends.compiler_process import interrupt_compilers

T = TypeVar("T")
TICK = 0.1  # seconds


def _nothing() -> None:
    pass


def in_order(
    tasks: Iterable[Callable[[], T]],
    workers: int,
    tick: Callable[[], None] = _nothing,
    leave: Callable[[], None] = _nothing,
) -> Generator[T, None, None]:
    """What the tasks return, in their order, `workers` of them under way at a time. One at a time: without threads.

    tick: called every now and then while this thread waits for others. Kernels let go of the interpreter's lock, so
    threads are enough. A task's error ends it all, and so do Ctrl-C and closing the iterator: `leave` is called, which
    is to end the tasks under way, and those are waited for. Where no thread can be started (a limit is reached, or the
    interpreter is about to end), this thread does what the others leave.
    """
    if workers == 1:
        for task in tasks:
            yield task()
        return
    under_way: deque[Future[T]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="gpubp-sweep") as threads:
        try:
            for task in tasks:
                once = _Once(task)
                under_way.append(once.future)
                try:
                    threads.submit(once)
                except (RuntimeError, MemoryError, OSError):  # though a thread that is there may have it already
                    once()
                if len(under_way) > workers:
                    yield _result(under_way.popleft(), tick)
            while under_way:
                yield _result(under_way.popleft(), tick)
        except BaseException as error:
            leave()
            running = [future for future in under_way if not future.cancel()]
            while isinstance(error, KeyboardInterrupt) and wait(running, TICK).not_done:
                interrupt_compilers()  # and those that have only just begun
            raise


class _Once(Generic[T]):
    """A task that the first one to call it does; its `future` has what comes of it."""

    def __init__(self, task: Callable[[], T]) -> None:
        self.task, self.future, self._claimed = task, Future[T](), threading.Lock()

    def __call__(self) -> None:
        if not self._claimed.acquire(blocking=False) or not self.future.set_running_or_notify_cancel():
            return
        try:
            found = self.task()
        except BaseException as error:
            self.future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            self.future.set_result(found)


def _result(future: Future[T], tick: Callable[[], None]) -> T:
    while not wait([future], TICK).done:
        tick()
    return future.result()
