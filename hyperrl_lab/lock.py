"""One process at a time in a run's folder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path
from types import TracebackType

LOCK_FILE = ".lock"


class FolderLock:
    """Holds a folder for this process inside its block.

    The lock is the operating system's own on a file in the folder: it ends with the process, however
    that ends, so that a file that a killed process left behind holds nobody up. The file tells who
    holds the lock.

    Args:
        folder: The folder, which exists.

    Raises:
        FileExistsError: On entering, where another process holds the folder; says which one, and where.
        OSError: On entering, where the folder cannot be written or its file system knows no locks.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_FILE

    def __enter__(self) -> FolderLock:
        while True:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Between opening and locking another process may have finished and removed the file.
                if self._path.exists() and os.path.samestat(os.stat(self._path), os.fstat(self._descriptor)):
                    break
            except BlockingIOError:
                holder = _holder(self._path)
                os.close(self._descriptor)
                raise FileExistsError(f"{self._path.parent} is in use by {holder}.") from None
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # While it is still held: nobody can have taken the file by now.
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _holder(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return f"process {content['pid']} on {content['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        # It has the lock, but has not written who it is.
        return "another process"
