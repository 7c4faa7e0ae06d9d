"""`hyperrl results`: the runs of folders, and what they say together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv
from rich import box
from rich.console import Console
from rich.table import Table

from hyperrl_env.checks import check_choice
from hyperrl_env.saving.files import whole_file
from hyperrl_lab.commands.base import USER_ERROR, complain
from hyperrl_lab.studies.comparison import (
    METRICS,
    Compared,
    compare,
    grouped,
    left_out,
    mixed_tasks,
    over_tasks,
)
from hyperrl_lab.studies.record import read_record
from hyperrl_lab.studies.statistics import STATISTICS
from hyperrl_lab.studies.table import joined, runs_table
from hyperrl_lab.studies.table_file import read_runs, write_runs
from hyperrl_lab.studies.text import NONE, number, share, with_interval

# Column of the table: header on the screen. `--csv` and `--parquet` have all columns.
_SHOWN = {
    "folder": "folder",
    "task": "task",
    "method": "method",
    "seed": "seed",
    "status": "status",
    "env_steps": "env steps",
    "extra_env_steps": "extra steps",
    "mean_last_10": "last 10",
    "mean_last_100": "last 100",
    "best_100": "best 100",
    "evaluation_mean": "evaluation",
    "diverged_steps": "refused",
    "steps_per_second": "steps/s",
}
_COUNTS = ("env_steps", "extra_env_steps", "diverged_steps")
_TEXTS = ("folder", "task", "method", "status")


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    parser = subcommands.add_parser(
        "results",
        help="show all runs of a folder, and compare their methods",
        description="Shows one row per run of folders and the folders below them, then a row per task and "
        "method with its interquartile mean (IQM) over the seeds, and over all tasks by normalised scores.",
    )
    parser.set_defaults(command=_results)
    parser.add_argument(
        "places",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="folder of runs, for example a study's, or a table that --parquet wrote",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the runs, all columns, to a new file")
    parser.add_argument(
        "--parquet",
        type=Path,
        metavar="FILE",
        help="the same as a table that this command reads in place of the runs",
    )
    parser.add_argument(
        "--sort",
        metavar="COLUMN",
        help="order the runs by a column of that file, the highest number first",
    )
    parser.add_argument(
        "--metric",
        default=METRICS[0],
        metavar="COLUMN",
        help=f"score of a run: {', '.join(METRICS)} (default: %(default)s)",
    )
    parser.add_argument(
        "--baseline", metavar="METHOD", help="compare the methods with this one (default: the study's own)"
    )


def _results(arguments: argparse.Namespace, console: Console) -> int:
    try:
        runs, own = _read(arguments.places)
        # Only what is shown: of several runs with one seed the first counts, in the order of the folder.
        shown = runs if arguments.sort is None else _sorted(runs, arguments.sort)
        groups = grouped(runs, arguments.metric)
        # Runs of the study's own baseline can be missing, or told apart by their settings.
        known = own if own in {group.method for group in groups} else None
        baseline = arguments.baseline or known
        compared = compare(groups, baseline)
        together, tasks, notes = over_tasks(groups, baseline)
        for path in filter(None, (arguments.csv, arguments.parquet)):
            _check_new(path)
        if arguments.csv is not None:
            with whole_file(arguments.csv) as temporary:
                csv.write_csv(shown, temporary)
        if arguments.parquet is not None:
            write_runs(shown, own, arguments.parquet)
    except (ValueError, OSError) as error:
        complain(str(error))
        return USER_ERROR
    console.print(_runs(shown))
    if compared:
        console.print(_methods(compared, arguments.metric, baseline))
    if together:
        rows = [
            [
                found.method,
                *(with_interval(found.estimates[name]) for name in STATISTICS),
                *([] if baseline is None else [with_interval(found.improvement, share)]),
                str(found.estimates["iqm"].seeds),
            ]
            for found in together
        ]
        better = [] if baseline is None else [_better(baseline)]
        header = ["method", "IQM", "median", "mean", *better, "seeds"]
        console.print(_table("Over the tasks, by normalised scores", header, rows))
        notes.insert(0, f"Over the tasks: {', '.join(tasks)}")
    if len({group.task for group in groups}) == 1:
        notes = [
            f"{task} has runs that differ in {what}: they are not compared with each other"
            for task, what in mixed_tasks(groups).items()
        ]
    notes = [*left_out(compared), *notes]
    for note in notes:
        console.print(f"{note}.", markup=False, soft_wrap=True)
    for row in runs.to_pylist():
        if row["problem"]:
            complain(f"{row['folder']}: {row['problem']}", "warning")
    return 0


def _sorted(runs: pa.Table, column: str) -> pa.Table:
    check_choice("column", column, runs.column_names)
    order = "ascending" if pa.types.is_string(runs.schema.field(column).type) else "descending"
    return runs.sort_by([(column, order)])


def _read(places: Sequence[Path]) -> tuple[pa.Table, str | None]:
    """The runs in several places, and the baseline of their studies, if all have the same one."""
    found = {place.as_posix(): _read_one(place) for place in places}
    baselines = {baseline for _, baseline in found.values()}
    baseline = baselines.pop() if len(baselines) == 1 else None
    if len(found) == 1:
        ((runs, _),) = found.values()
        return runs, baseline
    return joined({place: runs for place, (runs, _) in found.items()}), baseline


def _read_one(place: Path) -> tuple[pa.Table, str | None]:
    if place.is_file():
        return read_runs(place)
    runs = runs_table(place)
    try:
        record = read_record(place)
    except ValueError:
        # A warning of the table's says so.
        record = None
    return runs, None if record is None else record.baseline


def _check_new(path: Path) -> None:
    if path.exists():
        raise FileExistsError(f"{path} exists: it is not overwritten. Give another file.")


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    table.padding = (0, 1, 0, 0)
    for name in header:
        table.add_column(name, overflow="fold", justify="left" if name in _TEXTS else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _runs(runs: pa.Table) -> Table:
    def cell(name: str, value: Any) -> str:
        if isinstance(value, float):
            return number(value)
        if value is None:
            return NONE
        return f"{value:,}" if name in _COUNTS else str(value)

    rows = [[cell(name, row[name]) for name in _SHOWN] for row in runs.to_pylist()]
    return _table("Runs", list(_SHOWN.values()), rows)


def _better(baseline: str) -> str:
    return f"P(better than {baseline})"


def _methods(compared: Sequence[Compared], metric: str, baseline: str | None) -> Table:
    header = ["task", "method", "env steps", "extra steps", "seeds", "IQM", "mean", "std"]
    if baseline is not None:
        header += [_better(baseline), f"Cohen's d to {baseline}"]
    rows = []
    for found in compared:
        group = found.group
        row = [
            *(group.task, group.method, f"{group.budget:,}", f"{group.extra_env_steps:,}"),
            str(len(group.scores)),
            *(with_interval(found.estimate), number(group.values.mean() if len(group.scores) else None)),
            number(found.std),
        ]
        if baseline is not None:
            row += [with_interval(found.improvement, share), number(found.effect)]
        rows.append(row)
    return _table(f"Methods, by {metric} (in brackets: 95 % intervals)", header, rows)
