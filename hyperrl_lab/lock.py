"""One process at a time in a run's folder."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from hyperrl_env.saving.files import write_text

# The holder has a file of its own: Windows lets nobody else read a locked one.
LOCK_FILE, HOLDER_FILE = ".hyperrl.lock", ".hyperrl.holder"


class FolderLock:
    """Holds a folder for this process inside its block.

    The lock is the operating system's own on a file in the folder: it ends with the process, however
    that ends, so that a file that a killed process left behind holds nobody up. A second file says
    who holds the lock.

    Args:
        folder: The folder, which exists.

    Raises:
        FileExistsError: On entering, if another process holds the folder; says which one, and where.
        OSError: On entering, if the folder cannot be written or its file system knows no locks.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Not the thread's, but the process's; never a mere file, which a killed process would leave behind.
        self._lock = FileLock(folder / LOCK_FILE, timeout=0, thread_local=False, fallback_to_soft=False)

    def __enter__(self) -> FolderLock:
        try:
            self._lock.acquire()
        except Timeout:
            raise FileExistsError(
                f"{self._folder} is in use by {_holder(self._folder / HOLDER_FILE)}."
            ) from None
        # The lock holds without it.
        with suppress(OSError):
            write_text(
                self._folder / HOLDER_FILE, json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        (self._folder / HOLDER_FILE).unlink(missing_ok=True)
        # While it is still held: nobody can have taken the file by now. Windows removes no open files;
        # there the release does it.
        with suppress(PermissionError):
            (self._folder / LOCK_FILE).unlink(missing_ok=True)
        self._lock.release()


def _holder(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return f"process {content['pid']} on {content['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        # It has the lock, but has not written who it is.
        return "another process"
