"""Ctrl-C that ends a training between two updates instead of in the middle of one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import Any

LONG_COMPILATION = 5.0  # seconds: a kernel that takes less is waited for


class CancelScope:
    """One call's many trainings, one after another or in several threads, which end together.

    Within it, a training that Ctrl-C has ended raises KeyboardInterrupt, instead of returning what it has. When any
    exception leaves the scope, what trains for it in other threads ends between two updates, and is waited for.
    Pickled for another process, it is a scope of its own there.
    """

    def __init__(self) -> None:
        self._cancelled = False
        self._outer: CancelScope | None = None
        self._trainings: list[int] = []  # the threads of those under way, one as often as it has begun
        self._changed, self._process = threading.Condition(), os.getpid()

    @property
    def cancelled(self) -> bool:
        """Whether its trainings are to end."""
        return self._cancelled or (self._outer is not None and self._outer.cancelled)

    def __enter__(self) -> CancelScope:
        self._outer = _scope.get()
        self._token = _scope.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _scope.reset(self._token)
        if kind is not None:
            self._cancelled = True
            self._notice_fork()
            with self._changed:
                self._changed.wait_for(lambda: not self._trainings)

    def __reduce__(self) -> Any:
        return CancelScope, ()

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Within it, the work of another thread (or process) belongs to the scope."""
        token = _scope.set(self)
        try:
            yield
        finally:
            _scope.reset(token)

    def training_begins(self) -> None:
        self._notice_fork()
        with self._changed:
            self._trainings.append(threading.get_ident())
        if self._outer is not None:
            self._outer.training_begins()

    def training_ends(self) -> None:
        self._notice_fork()
        with self._changed:
            self._trainings.remove(threading.get_ident())
            self._changed.notify_all()
        if self._outer is not None:
            self._outer.training_ends()

    def _notice_fork(self) -> None:
        """A forked process has only one of the threads: what the others train is not under way here.

        Looked at where it matters: what `os.register_at_fork` is given, it keeps for ever.
        """
        if self._process != os.getpid():
            self._changed, self._process = threading.Condition(), os.getpid()
            self._trainings = [thread for thread in self._trainings if thread == threading.get_ident()]


_scope: ContextVar[CancelScope | None] = ContextVar("gpubp_cancel_scope", default=None)


class Interruption:
    """Within it, the first Ctrl-C makes `requested` true; a second one does what it would do without it.

    It takes SIGINT over from a handler that is a Python function, and gives it back on leaving, unless somebody has put
    another handler there meanwhile. A handler other than Python's own (asyncio's, or the application's) is still
    called, and so is the one of an Interruption around this. Where SIGINT is ignored, kills the process or has a
    handler that is not Python's, and in any thread but the main one, it is left as it is.

    Kernels may be compiled meanwhile, in this thread or others: the first Ctrl-C ends compilers that have run for
    `patience` seconds, the second all, and the threads that wait for them get CompilersInterrupted.

    A Ctrl-C that comes when nobody looks at `requested` any more is raised on leaving.
    """

    def __init__(self, patience: float = LONG_COMPILATION) -> None:
        self.patience = patience
        self._requested = self._noticed = self._active = False
        self._scope: CancelScope | None = None
        self._previous: Callable[[int, FrameType | None], Any] | None = None
        self._handler = self._on_signal  # one object, by which it is known later

    @property
    def requested(self) -> bool:
        if self._requested:
            self._noticed = True
            return True
        return self._scope is not None and self._scope.cancelled

    @requested.setter
    def requested(self, wanted: bool) -> None:
        self._requested = wanted

    def __enter__(self) -> Interruption:
        self._scope = _scope.get()
        previous = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(previous):
            self._previous, self._active = previous, True
            with suppress(ValueError):  # in an interpreter that is not the main one
                signal.signal(signal.SIGINT, self._handler)
        if self._scope is not None:
            self._scope.training_begins()  # last, and taken back first: while Ctrl-C only makes a request
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._scope is not None:
                self._scope.training_ends()
            self._active = False
        finally:
            if self._previous is not None and signal.getsignal(signal.SIGINT) is self._handler:
                signal.signal(signal.SIGINT, self._previous)
        unheard = self._requested and not self._noticed and not _is_ours(self._previous)
        if kind is None and (unheard or (self._scope is not None and self.requested)):
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        assert self._previous is not None
        if not self._active:  # over, and put back by somebody who had found it there
            self._previous(number, frame)
            return
        from gpubp.backends.compiler_process import interrupt_compilers

        interrupt_compilers(0.0 if self._requested else self.patience)
        again, self._requested = self._requested, True
        if again or _is_ours(self._previous):
            self._previous(number, frame)
        elif self._previous is not signal.default_int_handler:
            with suppress(KeyboardInterrupt):  # which the request stands for
                self._previous(number, frame)


def _is_ours(handler: Any) -> bool:
    return isinstance(getattr(handler, "__self__", None), Interruption)
