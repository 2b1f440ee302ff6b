"""polars in a forked process: it lacks the threads that do its work in the parent, and would wait for them for ever."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from gpubp.errors import DataError

TASKS = Path("/proc/self/task")
THREADS = "polars-"  # how polars names them, with a number


class _State:
    used = False  # by this library, in this process
    running = False  # the threads, when this process was last forked
    lost = False  # they are the parent's


def require_polars(what: str) -> None:
    """DataError in a process that was forked from one where polars had begun its work; what: it keeps from.

    What takes single columns, or some rows of them, needs no threads, and no call of this.
    """
    if _State.lost:
        raise DataError(
            f"{what}: polars does not work in a forked process once its parent has used it. Read tables before the "
            "fork, or start processes by spawn or forkserver: multiprocessing.get_context('spawn')."
        )
    _State.used = True


def _threads_run() -> bool:
    if not TASKS.is_dir():  # not on Linux
        return _State.used
    for task in TASKS.iterdir():
        with suppress(OSError):  # it has just ended
            name = (task / "comm").read_text(errors="replace").strip()
            if name.startswith(THREADS) and name.removeprefix(THREADS).isdigit():
                return True
    return False


def _before_fork() -> None:
    _State.running = "polars" in sys.modules and _threads_run()


def _in_child() -> None:
    _State.lost = _State.lost or _State.running


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_in_child)
