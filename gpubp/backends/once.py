"""Work that several threads ask for at the same time is done once."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from threading import Event, Lock
from typing import Generic, TypeVar

from gpubp.backends.compiler_process import CompilersInterrupted
from gpubp.errors import BackendError

T = TypeVar("T")


class OncePerKey(Generic[T]):
    """`get` does the work for a key; threads that ask meanwhile wait, and get the same result, or the same error.

    Nothing is kept once the work is done. In a forked child no work is in progress: the threads that did it are the
    parent's.
    """

    def __init__(self) -> None:
        self._begin_anew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._lock, self._in_progress = Lock(), dict[Hashable, _Work[T]]()

    def get(self, key: Hashable, do: Callable[[], T]) -> T:
        while True:
            mine: _Work[T] = _Work()
            try:
                with self._lock:
                    work = self._in_progress.setdefault(key, mine)
                if work is mine:
                    mine.result = do()
                    return mine.result
            except (BackendError, CompilersInterrupted) as error:
                mine.error = error
                raise
            finally:  # whatever interrupted it, and whenever: nobody waits for this thread any more
                with self._lock:
                    if self._in_progress.get(key) is mine:
                        del self._in_progress[key]
                mine.done.set()
            work.done.wait()
            if work.error is not None:
                raise type(work.error)(str(work.error)) from work.error
            if work.result is not None:
                return work.result
            # the other was interrupted: it is for this thread to do


class _Work(Generic[T]):
    def __init__(self) -> None:
        self.done = Event()
        self.result: T | None = None
        self.error: BackendError | CompilersInterrupted | None = None
