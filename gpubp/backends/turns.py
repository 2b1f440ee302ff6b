"""scikit-learn's checks, one thread at a time: while they run, they change the warning filters of the whole process.

Each saves the filters and puts them back (`warnings.catch_warnings`), and of two at a time, the second saves what the
first one had changed, and puts that back for good.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 1.0  # seconds: whoever is called within may wait for other threads, which then are not to wait for it


class _Turn:
    lock = threading.RLock()


@contextmanager
def in_turn() -> Iterator[None]:
    """Within it, no other thread is within it, as long as those take less than a second each. A decorator, too."""
    if getattr(sys.flags, "context_aware_warnings", False):  # every thread has filters of its own: Python 3.14
        yield
        return
    lock = _Turn.lock
    held = lock.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if held:
            lock.release()


def _begin_anew() -> None:
    """In a forked child, where no thread is left that would let go of the lock."""
    _Turn.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
