"""Lets only one process at a time use a run's folder."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from hyperrl_env.saving.files import write_text

# The holder's name is in another file: on Windows nobody else can read a locked one.
LOCK_FILE, HOLDER_FILE = ".hyperrl.lock", ".hyperrl.holder"


class InUseError(FileExistsError):
    """Another process is using the folder; the message names it and its host."""


class FolderLock:
    """Locks a folder for this process in its block.

    It is the operating system's lock on a file in the folder. It ends with the process, even if that is
    killed, so a leftover file blocks nobody. A second file names the process that holds the lock.

    Args:
        folder: An existing folder.

    Raises:
        InUseError: On entering, if another process holds the lock.
        OSError: On entering, if the folder cannot be written or its file system has no locks.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # For the whole process, not for a thread; never a mere file, which a killed process would leave.
        self._lock = FileLock(folder / LOCK_FILE, timeout=0, thread_local=False, fallback_to_soft=False)

    def __enter__(self) -> FolderLock:
        try:
            self._lock.acquire()
        except Timeout:
            raise InUseError(f"{self._folder} is in use by {_holder(self._folder / HOLDER_FILE)}.") from None
        # The lock works without it.
        with suppress(OSError):
            write_text(
                self._folder / HOLDER_FILE, json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        (self._folder / HOLDER_FILE).unlink(missing_ok=True)
        # Before the release, while no other process can have locked the file. Windows does not remove open
        # files; there the release removes it.
        with suppress(PermissionError):
            (self._folder / LOCK_FILE).unlink(missing_ok=True)
        self._lock.release()


def is_held(folder: Path) -> bool:
    """Whether another process holds the lock of a folder; takes it for a moment to see."""
    if not folder.is_dir():
        return False
    try:
        with FolderLock(folder):
            return False
    except InUseError:
        return True


def holder_lives(folder: Path) -> bool:
    """Whether the process that last locked a folder still seems to use it; touches nothing.

    The holder's name outlives a killed process: on this host it is looked for. A process of another host is
    believed.
    """
    try:
        content = json.loads((folder / HOLDER_FILE).read_text(encoding="utf-8"))
        pid, host = int(content["pid"]), content["host"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    # On Windows signal 0 is Ctrl-C.
    if host != socket.gethostname() or os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _holder(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return f"process {content['pid']} on {content['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        # It holds the lock but has not written its name yet.
        return "another process"
