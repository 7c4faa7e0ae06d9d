"""Ctrl-C and SIGTERM that first ask, then insist."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Inside its block the first Ctrl-C or SIGTERM is only remembered; the second raises KeyboardInterrupt.

    The handlers that were there before come back after the block. Threads other than the main one
    get no signals: there the block changes nothing.

    Args:
        on_request: Called at the first signal, from within whatever is interrupted.

    Attributes:
        requested: The first signal's number; 0 before it.
    """

    def __init__(self, on_request: Callable[[], None] = lambda: None) -> None:
        self.requested = 0
        self._on_request = on_request

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = [(number, signal.signal(number, self._handle)) for number in _SIGNALS]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before:
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = number
        self._on_request()
