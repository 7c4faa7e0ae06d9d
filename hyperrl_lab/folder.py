"""What in a run's folder is the run's own; nothing else there is ever overwritten or removed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from hyperrl_env.saving.files import final_name, is_plain_file, write_text
from hyperrl_lab.config import CONFIG_FILE, read_config
from hyperrl_lab.lock import HOLDER_FILE

RECORD_FILE = "files.json"
# So many names are given where a folder is not empty.
_NAMED = 3


class RunFolder:
    """A run's folder, with a record in `files.json` of the files that the run wrote.

    A name is recorded before its file is first written, so a file that is not recorded is not the run's.
    Neither is a folder or a link, whatever its name.

    Args:
        path: The folder.

    Raises:
        ValueError: `files.json` is there, and is not such a record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = _read(path / RECORD_FILE)

    def own(self) -> list[str]:
        """Names of the files there that the run wrote."""
        return [name for name in self._names if is_plain_file(self.path / name)]

    def check(self, names: Iterable[str]) -> None:
        """Makes sure that the run can write these files.

        Raises:
            FileExistsError: There is something of one of these names that the run did not write.
        """
        own = self.own()
        if foreign := [n for n in names if n not in own and os.path.lexists(self.path / n)]:
            raise FileExistsError(
                f"{self.path} holds {_listed(foreign)}, which this run did not write and will not overwrite. "
                "Move it elsewhere or rename it."
            )

    def claim(self, name: str) -> Path:
        """The path of a file that is to be written, which from now on is the run's own.

        Raises:
            FileExistsError: See `check`.
        """
        self.check([name])
        self.record(name)
        return self.path / name

    def record(self, name: str) -> None:
        """Takes down that the run wrote a file of this name."""
        if name not in self._names:
            self._names.append(name)
            write_text(self.path / RECORD_FILE, json.dumps(self._names, indent=2) + "\n")

    def tidy(self) -> None:
        """Removes what a process left that was killed while it wrote one of the run's files."""
        names = {*self._names, CONFIG_FILE, RECORD_FILE, HOLDER_FILE}
        for path in self.path.iterdir():
            if final_name(path.name) in names and is_plain_file(path):
                path.unlink()


def check_unused(folder: Path) -> None:
    """Makes sure that a new run can have a folder: it holds nothing, but perhaps hidden files.

    No file of a run is hidden, so that those cannot be in the way.

    Raises:
        FileExistsError: It holds a run, or anything else.
        NotADirectoryError: It is no folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder.")
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if CONFIG_FILE in names and _is_config(folder / CONFIG_FILE):
        raise FileExistsError(
            f"{folder} already holds a run: give another folder, or go on with `hyperrl resume {folder}`."
        )
    if names:
        raise FileExistsError(
            f"{folder} is not empty: it holds {_listed(names)}. Give a new or an empty folder, so that "
            "nothing of yours is mixed up with the run's files."
        )


def _is_config(path: Path) -> bool:
    try:
        read_config(path)
    except ValueError:
        return False
    return True


def _read(path: Path) -> list[str]:
    if not os.path.lexists(path):
        return []
    try:
        names = json.loads(path.read_text(encoding="utf-8")) if is_plain_file(path) else None
    except ValueError:
        names = None
    # A name with a path in it would reach out of the folder.
    if not isinstance(names, list) or not all(isinstance(n, str) and n == Path(n).name for n in names):
        raise ValueError(f"{path} is not the record of a run's files, a list of names.")
    return names


def _listed(names: list[str]) -> str:
    named = ", ".join(repr(name) for name in names[:_NAMED])
    return named if len(names) <= _NAMED else f"{named} and {len(names) - _NAMED} more"
