"""`hyperrl watch`: see what a run has trained."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperrl_env import InnerEnvError
from hyperrl_lab.commands.base import FAILED, USER_ERROR, USERS_ERRORS, complain, whole_number
from hyperrl_lab.recording import EPISODES, watch


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    parser = subcommands.add_parser(
        "watch",
        help="record a video of what a run has trained",
        description="Plays deterministic episodes with the last policy of a run, and records a video of each "
        "(extra: video). Without a display MuJoCo's tasks need the environment variable MUJOCO_GL=egl or "
        "MUJOCO_GL=osmesa, and that library.",
    )
    parser.set_defaults(command=_watch)
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the videos (default: RUN with -videos at its end)"
    )
    parser.add_argument("--window", action="store_true", help="show a window, and record nothing")
    parser.add_argument(
        "--episodes", type=whole_number, default=EPISODES, metavar="N", help="episodes (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        metavar="N",
        help="seed of the environment (default: as for `hyperrl evaluate`)",
    )


def _watch(arguments: argparse.Namespace, console: Console) -> int:
    folder: Path = arguments.folder
    try:
        # "." has no name of its own.
        out = arguments.out or folder.resolve().with_name(f"{folder.resolve().name}-videos")
        if arguments.window and arguments.out is not None:
            raise ValueError("--window records nothing: leave out --out.")
        returns, videos = watch(
            folder, None if arguments.window else out, episodes=arguments.episodes, seed=arguments.seed
        )
    except InnerEnvError as error:
        complain(str(error))
        return FAILED
    except USERS_ERRORS as error:
        complain(str(error) or repr(error))
        return USER_ERROR
    for number, value in enumerate(returns):
        where = f": {videos[number]}" if videos else ""
        console.print(f"episode {number + 1}, return {value:,.1f}{where}", markup=False, soft_wrap=True)
    return 0
