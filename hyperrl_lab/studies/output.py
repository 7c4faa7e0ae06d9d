"""What a process and its libraries print, led to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OUTPUT, ERRORS = 1, 2


@contextmanager
def output_in(log: Path) -> Iterator[None]:
    """What this process and its libraries print goes to the end of a file."""
    before = [os.dup(number) for number in (OUTPUT, ERRORS)]
    try:
        with open(log, "ab") as file:
            for number in (OUTPUT, ERRORS):
                os.dup2(file.fileno(), number)
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, copy in zip((OUTPUT, ERRORS), before, strict=True):
            os.dup2(copy, number)
            os.close(copy)
