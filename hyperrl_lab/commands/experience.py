"""`hyperrl experience`: what runs have taught, as one file that agents learn from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from agents.experience import Experience, PastRun
from agents.experience_file import (
    experience_path,
    is_experience,
    read_experience,
    sha256_of,
    write_experience,
)
from hyperrl_env.learners import LEARNERS
from hyperrl_lab.commands.base import USER_ERROR, USERS_ERRORS, complain, counted
from hyperrl_lab.experience.build import build_experience


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    parser = subcommands.add_parser(
        "experience",
        help="collect what runs have taught, for agents that learn from run to run",
        description="Collects the experience of finished runs in one file, or shows such a file.",
    )
    parts = parser.add_subparsers(required=True, metavar="part")
    build = parts.add_parser(
        "build",
        help="write the experience of runs to a file",
        description="Writes what runs did and how they ended to one file. Every run counts once.",
    )
    build.set_defaults(command=_build)
    build.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folder of a run, folder of runs, or file of experience to add to",
    )
    build.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="file of the experience, for example my.parquet",
    )
    build.add_argument(
        "--algorithm",
        choices=sorted(LEARNERS),
        help="leave out the runs of other inner algorithms (default: there must be none)",
    )
    show = parts.add_parser(
        "show",
        help="show what a file of experience holds",
        description="Shows what a file of experience holds: tasks, budgets, scores, and what was changed.",
    )
    show.set_defaults(command=_show)
    show.add_argument(
        "file", metavar="FILE", help="file of the experience, or PPO: the one that ships with the package"
    )


def _build(arguments: argparse.Namespace, console: Console) -> int:
    path: Path = arguments.out
    try:
        _check_out(path)
        experience = build_experience(arguments.paths, arguments.algorithm)
        _check_replaced(path, experience)
        write_experience(experience, path)
    except USERS_ERRORS as error:
        complain(str(error) or repr(error))
        return USER_ERROR
    held = counted(len(experience.runs), "run")
    console.print(f"{path} holds {held} of {experience.algorithm}", soft_wrap=True)
    return 0


def _check_out(path: Path) -> None:
    if str(path) in LEARNERS:
        raise ValueError(
            f"{path} is the name of the experience that ships with the package. Give another --out, for "
            f"example {path}.parquet."
        )
    if path.exists() and not is_experience(path):
        raise FileExistsError(
            f"{path} exists and is not an experience: it is not overwritten. Give another --out."
        )


def _check_replaced(path: Path, experience: Experience) -> None:
    """An experience is replaced by one that holds all of it."""
    if not path.exists():
        return
    lost = {run.run for run in read_experience(path).runs} - {run.run for run in experience.runs}
    if lost:
        raise FileExistsError(
            f"{path} holds {counted(len(lost), 'run')} besides these: it is not overwritten. Name it beside "
            "the runs to add to it, or give another --out."
        )


def _show(arguments: argparse.Namespace, console: Console) -> int:
    try:
        path = experience_path(arguments.file)
        experience, digest = read_experience(path), sha256_of(path)
    except USERS_ERRORS as error:
        complain(str(error) or repr(error))
        return USER_ERROR
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    phases = sum(len(run.env_steps) - 1 for run in experience.runs)
    table.add_row("algorithm", experience.algorithm)
    table.add_row("runs", f"{len(experience.runs)}, {phases:,} update phases")
    table.add_row("file", f"{path.stat().st_size:,} bytes, written by Hyper-RL {experience.made_with}")
    table.add_row("SHA-256", digest)
    console.print(table)
    console.print(_groups(experience))
    console.print(_changes(experience))
    return 0


def _groups(experience: Experience) -> Table:
    """A row per inner environment, settings and budget."""
    table = _table(
        "runs", ("inner environment", "settings", "budget", "runs", "agents", "score: mean (spread)")
    )
    groups: dict[tuple[str, str, int], list[PastRun]] = {}
    for run in experience.runs:
        groups.setdefault(run.group, []).append(run)
    for (inner_env, start, budget), runs in sorted(groups.items()):
        scores = [run.score for run in runs]
        agents = ", ".join(sorted({run.agent for run in runs}))
        spread = f"{np.mean(scores):,.1f} ({np.std(scores):,.1f})"
        table.add_row(inner_env, start, f"{budget:,}", str(len(runs)), agents, spread)
    return table


def _changes(experience: Experience) -> Table:
    """A row per hyperparameter that a run has changed: the levels of its lines (`agents.lines`)."""
    table = _table(
        "levels that were tried: logarithms, 0 is the task's own value",
        ("hyperparameter", "runs", "least", "most"),
    )
    for name, levels in _levels(experience):
        table.add_row(name, str(len(levels)), f"{min(levels):+.2f}", f"{max(levels):+.2f}")
    return table


def _levels(experience: Experience) -> Iterator[tuple[str, list[float]]]:
    for name in sorted({name for run in experience.runs for name in run.changed}):
        yield name, [run.line(name).level for run in experience.runs if name in run.changed]


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    for number, header in enumerate(columns):
        table.add_column(header, no_wrap=number == 0, overflow="fold")
    return table
