"""`hyperrl report`: all runs of a folder as one page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from hyperrl_lab.commands.base import USER_ERROR, complain
from hyperrl_lab.report.page import REPORT_FILE, write_report


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    parser = subcommands.add_parser(
        "report",
        help="write all runs of a folder as one page",
        description="Writes one HTML file that opens without a network: results with intervals, learning "
        "curves, schedules, choices, maps of the hyper-states, and comparisons of any two methods. The runs "
        "are only read.",
    )
    parser.set_defaults(command=_report)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of a study, of runs, or of a run")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE.html",
        help=f"the page (default: {REPORT_FILE} in DIR); an earlier report there is replaced",
    )


def _report(arguments: argparse.Namespace, console: Console) -> int:
    with Progress(TextColumn("{task.description}"), BarColumn(), console=console, transient=True) as progress:
        bar = progress.add_task("reading", total=1.0)
        try:
            path = write_report(
                arguments.folder,
                arguments.out,
                lambda what, part: progress.update(bar, description=what, completed=part),
            )
        except (OSError, ValueError) as error:
            complain(str(error))
            return USER_ERROR
    size = path.stat().st_size / 1e6
    console.print(f"{path} holds the report ({size:.1f} MB)", markup=False, soft_wrap=True)
    return 0
