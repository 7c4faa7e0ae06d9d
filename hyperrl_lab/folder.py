"""Which files in a run's folder belong to the run; no other file is ever overwritten or removed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from hyperrl_env.saving.files import final_name, is_plain_file, write_text
from hyperrl_lab.config import CONFIG_FILE, read_config
from hyperrl_lab.lock import HOLDER_FILE

RECORD_FILE = "files.json"
# Names listed in an error.
_NAMED = 3


class RunFolder:
    """A run's folder, with a record in `files.json` of the files that the run wrote.

    A name is recorded before its file is first written, so a file without a record is not the run's. Nor
    is a folder or a link, whatever its name.

    Args:
        path: The folder.

    Raises:
        ValueError: `files.json` exists and is not such a record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names = _read(path / RECORD_FILE)

    def own(self) -> list[str]:
        """Names of the existing files that the run wrote."""
        return [name for name in self._names if is_plain_file(self.path / name)]

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of some names that the run recorded, but whose files are not there."""
        return [name for name in names if name in self._names and not os.path.lexists(self.path / name)]

    def check(self, names: Iterable[str]) -> None:
        """Checks that the run can write these files.

        Raises:
            FileExistsError: One of these names exists and was not written by the run.
        """
        own = self.own()
        if foreign := [n for n in names if n not in own and os.path.lexists(self.path / n)]:
            raise FileExistsError(
                f"{self.path} holds {_listed(foreign)}, which this run did not write and will not overwrite. "
                "Move it elsewhere or rename it."
            )

    def claim(self, name: str) -> Path:
        """Records a file as the run's own, and returns the path to write it to.

        Raises:
            FileExistsError: See `check`.
        """
        self.check([name])
        self.record(name)
        return self.path / name

    def record(self, name: str) -> None:
        """Records that the run writes a file of this name."""
        if name not in self._names:
            self._names.append(name)
            write_text(self.path / RECORD_FILE, json.dumps(self._names, indent=2) + "\n")

    def tidy(self) -> None:
        """Removes temporary files of a process that was killed while writing one of the run's files."""
        names = {*self._names, CONFIG_FILE, RECORD_FILE, HOLDER_FILE}
        for path in self.path.iterdir():
            if final_name(path.name) in names and is_plain_file(path):
                path.unlink()


def check_unused(folder: Path) -> None:
    """Checks that a new run can use a folder: it is empty but for hidden files.

    A run's own results are not hidden, so hidden files cannot collide with them.

    Raises:
        FileExistsError: The folder holds a run, or anything else.
        NotADirectoryError: It is not a folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder.")
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if CONFIG_FILE in names and _is_config(folder / CONFIG_FILE):
        raise FileExistsError(
            f"{folder} already holds a run. Give another folder, or continue it: `hyperrl resume {folder}`."
        )
    if names:
        raise FileExistsError(
            f"{folder} is not empty: it holds {_listed(names)}. Give a new or an empty folder, so that the "
            "run's files do not mix with yours."
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
    # A name with a path in it would lead out of the folder.
    if not isinstance(names, list) or not all(isinstance(n, str) and n == Path(n).name for n in names):
        raise ValueError(f"{path} is not the record of a run's files, a list of names.")
    return names


def _listed(names: list[str]) -> str:
    named = ", ".join(repr(name) for name in names[:_NAMED])
    return named if len(names) <= _NAMED else f"{named} and {len(names) - _NAMED} more"
