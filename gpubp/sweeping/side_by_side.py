"""Populations side by side: while kernels of one run, Python prepares the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_order(tasks: Iterable[Callable[[], T]], workers: int) -> Iterator[T]:
    """What the tasks return, in their order, `workers` of them under way at a time. One at a time: without threads.

    Kernels let go of the interpreter's lock, so threads are enough. A task's error ends it all, once those under way
    are done; so does leaving the loop.
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
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
