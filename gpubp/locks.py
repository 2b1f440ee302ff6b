"""One process at a time: a lock that its owner cannot forget, since it goes with the process that holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpubp.errors import DataError


class Lock:
    """On what lies at `path`; the lock itself is the file beside it, of the same name with .lock."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f".{path.name}.lock")
        self._held: Any = None

    def hold(self, what: str) -> None:
        """DataError where another process holds it. what: is being done with it, for the message."""
        from filelock import FileLock, Timeout

        if self._held is not None:
            return
        lock = FileLock(str(self.path), timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise DataError(f"{what} by another process: wait for its end, or choose another place.") from None
        except OSError as error:
            raise DataError(f"Cannot write {self.path}: {error.strerror or error}. Choose another place.") from error
        self._held = lock

    def release(self) -> None:
        if self._held is not None:
            self.path.unlink(missing_ok=True)  # still held: who waits for nothing cannot come in between
            self._held.release()
            self._held = None
