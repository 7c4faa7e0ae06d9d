"""`hyperrl schedule`: the schedule that runs have found, to take away."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from agents.replay import read_schedule
from hyperrl_env.saving.files import write_text
from hyperrl_lab.commands.base import USER_ERROR, USERS_ERRORS, complain, whole_number
from hyperrl_lab.schedule_export import SMOOTHING, WINDOWS, export_schedule, left_out, python_code


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    parser = subcommands.add_parser(
        "schedule",
        help="write what runs chose as a schedule that can be replayed",
        description="Writes the median of what runs chose, over their progress, to a JSON file, and prints "
        "Python that sets it in plain Stable-Baselines3. To replay it: `hyperrl train ID --agent replay "
        "--set schedule=FILE`.",
    )
    parser.set_defaults(command=_schedule)
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("schedule.json"),
        metavar="FILE",
        help="file of the schedule (default: %(default)s)",
    )
    parser.add_argument(
        "--windows",
        type=whole_number,
        metavar="N",
        help=f"number of equal stretches of the run; each gets one value (default: {WINDOWS}, or one per "
        "update phase if there are fewer)",
    )
    parser.add_argument(
        "--smoothing",
        type=whole_number,
        metavar="N",
        help=f"number of neighbouring windows to average over (default: {SMOOTHING}; 1: no smoothing)",
    )
    parser.add_argument("--exact", action="store_true", help="every choice of a single run, update by update")


def _schedule(arguments: argparse.Namespace, console: Console) -> int:
    path: Path = arguments.out
    try:
        given = {
            name: value
            for name in ("windows", "smoothing")
            if (value := getattr(arguments, name)) is not None
        }
        for name, value in given.items():
            if arguments.exact:
                raise ValueError(f"--exact takes every choice as it was: leave out --{name}.")
            if value < 1:
                raise ValueError(f"--{name} must be at least 1, not {value}.")
        if path.exists():
            _check_own(path)
        schedule = export_schedule(arguments.folders, exact=arguments.exact, **given)
        write_text(path, schedule.to_json())
    except USERS_ERRORS as error:
        complain(str(error) or repr(error))
        return USER_ERROR
    # The code alone goes to stdout, so that it can be redirected to a file.
    print(python_code(schedule), end="")  # noqa: T201
    if missing := left_out(schedule):
        complain(f"in the Python, {missing}", "warning")
    complain(
        f"{path} holds it; to replay it: `hyperrl train ID --agent replay --set schedule={path}`", "schedule"
    )
    return 0


def _check_own(path: Path) -> None:
    """Raises FileExistsError unless the file is a schedule, which may be replaced."""
    try:
        read_schedule(path)
    except ValueError:
        raise FileExistsError(
            f"{path} exists and is not a schedule: it is not overwritten. Give another file with --out."
        ) from None
