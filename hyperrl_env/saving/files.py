"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A name that nobody else gives a file, so that one left by a killed process can be removed safely.
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.[0-9a-f]{16}(?P<suffix>(\.[^.]*)?)")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write to; `path` holds the whole content after the block, or what it had.

    The content has reached the disk before it takes the name, so that neither a crash of the
    process nor one of the machine leaves half a file.

    Args:
        path: Where the content goes; the temporary path has the same suffix.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}{path.suffix}")
    try:
        yield temporary
        _sync_file(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def final_name(name: str) -> str | None:
    """The name that a temporary file of `whole_file` was to get; None for every other file.

    Example:
        >>> final_name(".model.0123456789abcdef.zip")
        'model.zip'
    """
    found = _TEMPORARY.fullmatch(name)
    return None if found is None else found["stem"] + found["suffix"]


def is_plain_file(path: Path) -> bool:
    """Whether there is a file at this very place: no folder, and no link to one elsewhere."""
    return path.is_file() and not path.is_symlink()


def _sync_file(path: Path) -> None:
    # Windows syncs only what is open for writing.
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    """Brings a new name to the disk, on systems and file systems that can."""
    # Windows opens no folders.
    if not hasattr(os, "O_DIRECTORY"):
        return
    # The file has its name by now: that the folder cannot be synced does not undo it.
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
