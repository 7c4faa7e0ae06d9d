"""The checkpoints of a run: the last two, in its folder."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperrl_env import CheckpointError
from hyperrl_env.saving.checkpoint import State, read_checkpoint, write_checkpoint
from hyperrl_env.saving.files import final_name, is_plain_file

CHECKPOINTS = "checkpoints"
# A file of any other name is not the run's, and stays.
_NAME = re.compile(r"step-\d{12}\.zip")
_KEPT = 2
# Copying the state to memory takes at most this share of the time.
_SHARE = 0.01


class Checkpoints:
    """Writes a run's checkpoints at intervals, and finds the last usable one.

    Between checkpoints, copies of the state are kept in memory as often as their cost allows, so that a
    recent one can be written if the run fails.

    Args:
        folder: The run's folder.
        minutes: Minutes between checkpoints; 0: one at every offer.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        self._folder = folder / CHECKPOINTS
        self._seconds = 60 * minutes
        self._written = self._remembered = time.perf_counter()
        self._cost = 0.0
        self._memory: tuple[int, State] | None = None

    def offer(self, step: int, state: Callable[[], State]) -> None:
        """Writes or remembers the state if one is due.

        Args:
            step: Hyper-steps taken; the checkpoint's name holds it.
            state: Returns the state, which may share memory with the run.
        """
        now = time.perf_counter()
        if now - self._written >= self._seconds:
            self.write(step, state())
        elif now - self._remembered >= self._cost / _SHARE:
            self._memory = step, state()
            self._remembered = time.perf_counter()
            self._cost = self._remembered - now

    def write(self, step: int, state: State) -> None:
        """Writes a checkpoint, and removes those that are too old.

        Raises:
            CheckpointError: It could not be written; earlier checkpoints are intact.
        """
        path = self._folder / f"step-{step:012d}.zip"
        self._check_folder()
        if os.path.lexists(path) and not is_plain_file(path):
            raise CheckpointError(f"{path} could not be written: something there is not a file.")
        self._folder.mkdir(exist_ok=True)
        write_checkpoint(path, state)
        self._memory = None
        self._written = self._remembered = time.perf_counter()
        self.tidy()

    def tidy(self) -> None:
        """Removes old checkpoints, and temporary files of a process that was killed while writing one."""
        for path in self.paths()[_KEPT:]:
            path.unlink()
        for path in self._folder.iterdir():
            if _NAME.fullmatch(final_name(path.name) or "") and is_plain_file(path):
                path.unlink()

    def write_remembered(self) -> None:
        """Writes the state in memory if it is newer than the last checkpoint."""
        if self._memory is not None:
            self.write(*self._memory)

    def paths(self) -> list[Path]:
        """The run's checkpoints, newest first.

        Raises:
            CheckpointError: `checkpoints` is a file or a link.
        """
        self._check_folder()
        found = self._folder.iterdir() if self._folder.exists() else ()
        return sorted((p for p in found if _NAME.fullmatch(p.name) and is_plain_file(p)), reverse=True)

    def last(self, complain: Callable[[str], None] = lambda message: None) -> State | None:
        """The state of the last usable checkpoint.

        Args:
            complain: Called with a message for each damaged checkpoint newer than that. An older checkpoint
                leads to the same results, only later.

        Returns:
            The state; None if the folder has no checkpoints.

        Raises:
            CheckpointError: All checkpoints are damaged.
        """
        errors: list[str] = []
        for path in self.paths():
            try:
                state: dict[str, Any] = read_checkpoint(path)
            except CheckpointError as error:
                errors.append(str(error))
                continue
            for message in errors:
                complain(f"{message} The run continues from {path.name}, an earlier one.")
            return state
        if errors:
            raise CheckpointError(f"{' '.join(errors)} No usable checkpoint is left.")
        return None

    def _check_folder(self) -> None:
        # The target of a link is not the run's.
        if os.path.lexists(self._folder) and (self._folder.is_symlink() or not self._folder.is_dir()):
            raise CheckpointError(f"{self._folder} is a file or a link, not a folder. Move it elsewhere.")
