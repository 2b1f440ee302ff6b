"""Populations side by side: while kernels of one run, Python prepares the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

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
    is to end the tasks under way, and those are waited for.
    """
    if workers == 1:
        for task in tasks:
            yield task()
        return
    under_way: deque[Future[T]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="gpubp-sweep") as threads:
        try:
            for task in tasks:
                under_way.append(threads.submit(task))
                if len(under_way) > workers:
                    yield _result(under_way.popleft(), tick)
            while under_way:
                yield _result(under_way.popleft(), tick)
        except BaseException:
            leave()
            for future in under_way:
                future.cancel()
            raise


def _result(future: Future[T], tick: Callable[[], None]) -> T:
    while not wait([future], TICK).done:
        tick()
    return future.result()
