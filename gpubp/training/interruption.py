"""Ctrl-C that ends a training between two updates instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

LONG_COMPILATION = 5.0  # seconds: a kernel that takes less is waited for


class Interruption:
    """Within it, the first Ctrl-C sets `requested`; a second one raises KeyboardInterrupt as usual.

    Other threads may be compiling kernels: the first ends compilers that take unusually long, the second all, and the
    threads that wait for them get a KeyboardInterrupt. Signals reach Python's main thread alone; in any other thread
    this does nothing.
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> Interruption:
        self._installed = threading.current_thread() is threading.main_thread()
        if self._installed:
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._previous or signal.SIG_DFL)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        from gpubp.backends.compiler_process import interrupt_compilers

        interrupt_compilers(0.0 if self.requested else LONG_COMPILATION)
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
