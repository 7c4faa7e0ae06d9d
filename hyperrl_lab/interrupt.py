"""Ctrl-C and SIGTERM: the first asks the run to stop, the second stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """In its block the first Ctrl-C or SIGTERM is only recorded; the second raises KeyboardInterrupt.

    The previous handlers are restored after the block. Only the main thread gets signals; in other threads
    the block changes nothing.

    Args:
        on_request: Called at the first signal, inside the signal handler.

    Attributes:
        requested: The number of the first signal; 0 before it.
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
