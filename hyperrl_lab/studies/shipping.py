"""A run's folder as bytes, with which another machine continues the run without a common file system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hyperrl_env.saving.files import whole_file
from hyperrl_lab.checkpoints import CHECKPOINTS, Checkpoints
from hyperrl_lab.config import CONFIG_FILE
from hyperrl_lab.folder import RunFolder
from hyperrl_lab.results import SUMMARY_FILE

# The content of files by their path in the folder.
Files = Mapping[str, bytes]


def pack(folder: Path) -> Files:
    """The run's own files in a folder, with its newest checkpoint; none if the folder holds no run."""
    if not (folder / CONFIG_FILE).is_file():
        return {}
    newest = [f"{CHECKPOINTS}/{path.name}" for path in Checkpoints(folder, 0).paths()[:1]]
    names = [CONFIG_FILE, *RunFolder(folder).own(), *newest]
    return {name: (folder / name).read_bytes() for name in names}


def unpack(files: Files, folder: Path) -> None:
    """Writes packed files to a folder, each whole or not at all, in an order that can be cut anywhere.

    A checkpoint needs the logs that it belongs to, and a summary says that all else is there.

    Args:
        files: A result of `pack`, of the same run as the folder.
        folder: The run's folder here; may be empty or missing.

    Raises:
        FileExistsError: The folder holds a file with the name of a result that the run did not write.
    """
    (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    record = RunFolder(folder)
    for name in sorted(files, key=_turn):
        its_own = name != CONFIG_FILE and not name.startswith(f"{CHECKPOINTS}/")
        path = record.claim(name) if its_own else folder / name
        with whole_file(path) as temporary:
            temporary.write_bytes(files[name])
    Checkpoints(folder, 0).tidy()


def newest_checkpoint(folder: Path) -> str:
    """The name of the newest checkpoint; "" if there is none."""
    return max((path.name for path in Checkpoints(folder, 0).paths()), default="")


def _turn(name: str) -> int:
    if name == CONFIG_FILE:
        return 0
    if name.startswith(f"{CHECKPOINTS}/"):
        return 2
    return 3 if name == SUMMARY_FILE else 1
