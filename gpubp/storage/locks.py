"""One owner at a time: a lock that its owner cannot forget, since it goes with the process that holds it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

from gpubp.errors import DataError


class Lock:
    """On what lies at `path`; the lock itself is the file beside it, of the same name with .lock.

    A process that is killed holds it no longer, though its file stays. Releasing removes the file.
    """

    _held_here: ClassVar[WeakSet[Lock]] = WeakSet()  # for the message alone: the system says who may have it

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f".{path.name}.lock")
        self._held: Any = None
        self._process = 0

    def hold(self, what: str) -> None:
        """DataError where another process holds it, or another Lock of this one. what: is being done with it, for the
        message.
        """
        from filelock import FileLock, Timeout

        if self._held is not None:
            return
        lock = FileLock(str(self.path), timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            by = "another call in this process" if self._is_held_here() else "another process"
            raise DataError(f"{what} by {by}: wait for its end, or choose another place.") from None
        except OSError as error:
            raise DataError(f"Cannot write {self.path}: {error.strerror or error}. Choose another place.") from error
        self._held, self._process = lock, os.getpid()
        self._held_here.add(self)

    def release(self) -> None:
        if self._held is not None:
            if self._process == os.getpid():  # a forked child has only its parent's word for it
                with suppress(OSError):
                    self.path.unlink()  # still held: who waits for nothing cannot come in between
            self._held.release()
            self._held = None
            self._held_here.discard(self)

    def _is_held_here(self) -> bool:
        process, place = os.getpid(), os.path.realpath(self.path)
        return any(each._process == process and os.path.realpath(each.path) == place for each in tuple(self._held_here))
