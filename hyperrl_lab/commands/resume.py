"""`hyperrl resume`: an interrupted run, continued."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperrl_lab.commands.base import add_checkpoint_minutes, complain, warn_of_versions
from hyperrl_lab.commands.train import drive
from hyperrl_lab.config import CONFIG_FILE, read_config
from hyperrl_lab.results import outcome
from hyperrl_lab.run import TrainingRun, draw_missing


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    resume = subcommands.add_parser(
        "resume",
        help="continue an interrupted run",
        description="Continues an interrupted run from its last checkpoint. The results are those of an "
        "uninterrupted run.",
    )
    resume.set_defaults(command=_resume)
    resume.add_argument("folder", type=Path, metavar="DIR", help="folder of the run")
    add_checkpoint_minutes(resume)


def _resume(arguments: argparse.Namespace, console: Console) -> int:
    folder = arguments.folder

    def interrupted_run() -> TrainingRun | None:
        config, made_with = read_config(folder / CONFIG_FILE)
        if (ended := outcome(folder)) is not None:
            done = "its pictures are drawn now" if draw_missing(folder) else "nothing is left to do"
            console.print(f"{folder}: the run has already {ended}; {done}.", markup=False)
            return None
        warn_of_versions(made_with)
        run = TrainingRun(
            config,
            folder,
            checkpoint_minutes=arguments.checkpoint_minutes,
            resume=True,
            warn=lambda message: complain(message, "warning"),
        )
        console.print(f"continuing after {run.progress.env_steps:,} env steps", markup=False)
        return run

    return drive(interrupted_run, console)
