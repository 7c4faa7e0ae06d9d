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
# What is called otherwise in the folder is not the run's, and stays.
_NAME = re.compile(r"step-\d{12}\.zip")
_KEPT = 2
# A state is kept in memory as often as costs at most this part of the time.
_SHARE = 0.01


class Checkpoints:
    """Writes a run's state now and then, and finds the last whole one.

    A state is written so many minutes after the one before. In between it is kept in memory as often as
    hardly costs time, to be written where the run fails.

    Args:
        folder: The run's folder.
        minutes: Minutes between checkpoints; 0: one at every call.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        self._folder = folder / CHECKPOINTS
        self._seconds = 60 * minutes
        self._written = self._remembered = time.perf_counter()
        self._cost = 0.0
        self._memory: tuple[int, State] | None = None

    def offer(self, step: int, state: Callable[[], State]) -> None:
        """Takes the state where it is time to.

        Args:
            step: Hyper-steps taken, which the checkpoint is named after.
            state: Gives the state; it may share memory with what goes on.
        """
        now = time.perf_counter()
        if now - self._written >= self._seconds:
            self.write(step, state())
        elif now - self._remembered >= self._cost / _SHARE:
            self._memory = step, state()
            self._remembered = time.perf_counter()
            self._cost = self._remembered - now

    def write(self, step: int, state: State) -> None:
        """Writes a checkpoint, and removes what is then too old.

        Raises:
            CheckpointError: It could not be written; the ones before are intact.
        """
        path = self._folder / f"step-{step:012d}.zip"
        self._check_folder()
        if os.path.lexists(path) and not is_plain_file(path):
            raise CheckpointError(f"{path} could not be written: something that is no file is in its place.")
        self._folder.mkdir(exist_ok=True)
        write_checkpoint(path, state)
        self._memory = None
        self._written = self._remembered = time.perf_counter()
        self.tidy()

    def tidy(self) -> None:
        """Removes old checkpoints, and what a process left that was killed while it wrote one."""
        for path in self.paths()[_KEPT:]:
            path.unlink()
        for path in self._folder.iterdir():
            if _NAME.fullmatch(final_name(path.name) or "") and is_plain_file(path):
                path.unlink()

    def write_remembered(self) -> None:
        """Writes the last state that was kept in memory, where it is newer than the last written one."""
        if self._memory is not None:
            self.write(*self._memory)

    def paths(self) -> list[Path]:
        """The checkpoints there are, newest first.

        Raises:
            CheckpointError: Something that is no folder is in the place of theirs.
        """
        self._check_folder()
        found = self._folder.iterdir() if self._folder.exists() else ()
        return sorted((p for p in found if _NAME.fullmatch(p.name) and is_plain_file(p)), reverse=True)

    def last(self, complain: Callable[[str], None] = lambda message: None) -> State | None:
        """The last state that is whole.

        Args:
            complain: Told of a damaged checkpoint that an older one stands in for: the same run gets to
                the same place from there, only later.

        Returns:
            The state; None where the folder has no checkpoints.

        Raises:
            CheckpointError: There are some, and none is whole.
        """
        errors: list[str] = []
        for path in self.paths():
            try:
                state: dict[str, Any] = read_checkpoint(path)
            except CheckpointError as error:
                errors.append(str(error))
                continue
            for message in errors:
                complain(f"{message} The run goes on from the one before, {path.name}.")
            return state
        if errors:
            raise CheckpointError(f"{' '.join(errors)} There is no whole checkpoint to go on from.")
        return None

    def _check_folder(self) -> None:
        # What a link leads to is not the run's.
        if os.path.lexists(self._folder) and (self._folder.is_symlink() or not self._folder.is_dir()):
            raise CheckpointError(f"{self._folder} is a file or a link, not a folder: move it elsewhere.")
