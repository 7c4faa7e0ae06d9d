"""`hyperrl compare`: several runs side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich import box
from rich.console import Console
from rich.table import Table

from hyperrl_lab.commands.base import USER_ERROR, complain
from hyperrl_lab.config import CONFIG_FILE, read_config
from hyperrl_lab.results import read_actions, read_episodes
from hyperrl_lab.side_by_side import MOST_RUNS, ShownRun, side_by_side
from hyperrl_lab.studies.table import runs_table
from hyperrl_lab.studies.text import NONE, number

_TEXTS = ("run", "task", "method", "status")
_NUMBERS = {
    "seed": "seed",
    "budget": "budget",
    "env_steps": "env steps",
    "extra_env_steps": "extra steps",
    "mean_last_10": "last 10",
    "mean_last_100": "last 100",
    "best_100": "best 100",
    "evaluation_mean": "evaluation",
    "diverged_steps": "refused",
    "seconds": "seconds",
    "steps_per_second": "steps/s",
}
_WHOLE = ("seed", "budget", "env_steps", "extra_env_steps", "diverged_steps")
Row = dict[str, Any]


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    parser = subcommands.add_parser(
        "compare",
        help="draw several runs side by side",
        description=f"Draws the learning curves and schedules of up to {MOST_RUNS} runs side by side, and "
        "shows their scores, evaluations and costs. For means over seeds: `hyperrl results` and `hyperrl "
        "report`.",
    )
    parser.set_defaults(command=_compare)
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("compare.png"),
        metavar="FILE.png",
        help="the picture, a new file (default: %(default)s)",
    )


def _compare(arguments: argparse.Namespace, console: Console) -> int:
    folders: list[Path] = arguments.folders
    path: Path = arguments.out
    try:
        if not 2 <= len(folders) <= MOST_RUNS:
            raise ValueError(f"Give 2 to {MOST_RUNS} runs, not {len(folders)}.")
        if path.suffix.lower() != ".png":
            raise ValueError(f"The picture is a PNG file: give --out a name that ends in .png, not {path}.")
        if path.exists() or path.is_symlink():
            raise FileExistsError(f"{path} exists: it is not overwritten. Give another file with --out.")
        rows = [_row(folder) for folder in folders]
        side_by_side([_shown(folder, row) for folder, row in zip(folders, rows, strict=True)], path)
    except (ValueError, OSError, pa.ArrowException) as error:
        complain(str(error))
        return USER_ERROR
    console.print(_table(rows))
    for column, what in (("task", "tasks"), ("budget", "budgets")):
        if len({row[column] for row in rows}) > 1:
            complain(f"the runs are of different {what}, so their scores do not compare", "warning")
    for row in rows:
        if row["problem"]:
            complain(f"{row['run']}: {row['problem']}", "warning")
    console.print(f"{path} shows them", markup=False, soft_wrap=True)
    return 0


def _row(folder: Path) -> Row:
    """The run's row of the table of all runs."""
    read_config(folder / CONFIG_FILE)
    (row,) = runs_table(folder).to_pylist()
    return {"run": str(folder), **row}


def _shown(folder: Path, row: Row) -> ShownRun:
    return ShownRun(
        f"{row['method']}, seed {row['seed']}\n{row['task']}", read_episodes(folder), read_actions(folder)
    )


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in _TEXTS:
        table.add_column(name, overflow="fold", style="cyan" if name == "run" else None)
    for header in _NUMBERS.values():
        table.add_column(header, justify="right")
    for row in rows:
        table.add_row(*(row[name] for name in _TEXTS), *(_cell(name, row[name]) for name in _NUMBERS))
    return table


def _cell(name: str, value: float | None) -> str:
    if name in _WHOLE:
        return NONE if value is None else f"{value:,}"
    return number(value)
