"""A file that a run depends on, known again by the SHA-256 that the run's configuration keeps."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple


class PinnedFile(NamedTuple):
    """A file as it was read.

    Attributes:
        content: Its bytes.
        sha256: Their SHA-256, in hexadecimal digits.
    """

    content: bytes
    sha256: str


def read_pinned(kind: str, path: Path, sha256: str | None = None) -> PinnedFile:
    """Reads a file that must be the one that a run began with.

    Args:
        kind: What errors call it, as "schedule".
        path: The file.
        sha256: What it must hash to; None: anything.

    Raises:
        ValueError: It cannot be read, or has changed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"The {kind} {path} cannot be read: {error.strerror}.") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, found):
        raise ValueError(
            f"The {kind} {path} is not the one that this run began with: its SHA-256 is {found}, not "
            f"{sha256}. Put the file back, or begin another run."
        )
    return PinnedFile(content, found)
