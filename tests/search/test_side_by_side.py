"""Tasks side by side: each is done once and answered in its place, on whatever threads there are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from gpubp.search.run.side_by_side import in_order

WORKERS = 4


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets so many more threads start."""
    start, left = threading.Thread.start, 0

    def limited(thread: threading.Thread) -> None:
        nonlocal left
        if left == 0:
            raise RuntimeError("can't start new thread")
        left -= 1
        start(thread)

    def set_limit(threads: int) -> None:
        nonlocal left
        left = threads
        monkeypatch.setattr(threading.Thread, "start", limited)

    return set_limit


@pytest.mark.parametrize("threads", range(WORKERS + 1))
def test_fewer_threads_do_everything_once(threads: int, limit: Callable[[int], None]) -> None:
    calls: list[int] = []

    def task(number: int) -> int:
        calls.append(number)
        return number

    limit(threads)
    assert list(in_order((partial(task, n) for n in range(50)), WORKERS)) == list(range(50))
    assert sorted(calls) == list(range(50))


@pytest.mark.parametrize("threads", [0, WORKERS])
def test_an_error_is_raised_in_its_place(threads: int, limit: Callable[[int], None]) -> None:
    left = []

    def task(number: int) -> float:
        return 1 / (number - 3)

    limit(threads)
    results = in_order((partial(task, n) for n in range(50)), WORKERS, leave=lambda: left.append(True))
    assert [next(results) for _ in range(3)] == [-1 / 3, -1 / 2, -1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert left == [True]
