"""Ctrl-C that first asks, then insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType


class Interrupt:
    """Inside its block the first Ctrl-C is only remembered; the second raises KeyboardInterrupt.

    The handler that was there before comes back after the block. Threads other than the main one
    get no signals: there the block changes nothing.

    Args:
        on_request: Called at the first Ctrl-C, from within whatever is interrupted.

    Attributes:
        requested: Whether Ctrl-C has been pressed.
    """

    def __init__(self, on_request: Callable[[], None] = lambda: None) -> None:
        self.requested = False
        self._on_request = on_request

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._on_request()
