"""`hyperrl show`: a run on one screen."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich import box
from rich.console import Console
from rich.table import Table

from hyperrl_env.saving.files import is_plain_file
from hyperrl_lab.commands.base import USER_ERROR, complain, counted
from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config
from hyperrl_lab.evaluation import read_evaluation
from hyperrl_lab.folder import RunFolder
from hyperrl_lab.results import Columns, acting, chosen_hyperparameters, read_actions, read_summary

_PARTS = ("first third", "second third", "last third")


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    parser = subcommands.add_parser(
        "show",
        help="show a run on one screen",
        description="Shows what ran, what came out, what was chosen, and where the files are.",
    )
    parser.set_defaults(command=_show)
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder of the run")


def _show(arguments: argparse.Namespace, console: Console) -> int:
    folder: Path = arguments.folder
    try:
        config, versions = read_config(folder / CONFIG_FILE)
    except ValueError as error:
        complain(str(error))
        return USER_ERROR
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in (*_what_ran(config, versions), *_what_came_out(folder)):
        table.add_row(name, text)
    console.print(table)
    try:
        actions = read_actions(folder)
    except (OSError, pa.ArrowException):
        actions = {}
    # A run that was stopped before its first choice has the columns, but no rows.
    if (chosen := chosen_hyperparameters(actions)) and len(actions["phase"]):
        console.print(_choices(actions, chosen))
    console.print(f"files in {folder}: {', '.join(_files(folder))}", markup=False, highlight=False)
    return 0


def _what_ran(config: RunConfig, versions: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield "environment", config.id
    yield "agent", config.agent + _keywords(config.agent_kwargs)
    if config.env_kwargs:
        yield "settings", _keywords(config.env_kwargs).strip(" ()")
    yield "seed", str(config.seed)
    if config.total_env_steps is not None:
        yield "budget", f"{config.total_env_steps:,} env steps"
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())


def _what_came_out(folder: Path) -> Iterator[tuple[str, str]]:
    summary = read_summary(folder)
    if not summary:
        yield "status", "no results yet"
        return
    yield "status", str(summary.get("status"))
    if (score := summary.get("mean_return")) is not None:
        episodes = counted(summary["score_episodes"], "training episode")
        yield "score", f"{score:,.1f}, mean return of the last {episodes}"
    with suppress(OSError, ValueError):
        if evaluation := read_evaluation(folder):
            yield "evaluation", _evaluated(evaluation)
    extra = f" and {steps:,} of the agent" if (steps := summary.get("extra_env_steps", 0)) else ""
    yield (
        "cost",
        f"{summary['env_steps']:,} env steps{extra}, {summary['hyper_steps']:,} hyper-actions "
        f"({summary['diverged_steps']:,} refused), {summary['seconds']:,.0f} s, "
        f"{summary['steps_per_second']:,.0f} env steps per second",
    )


def _evaluated(evaluation: dict[str, Any]) -> str:
    episodes = counted(evaluation["episodes"], "deterministic episode")
    if evaluation["mean_return"] is None:
        return f"a return of {episodes} is not a finite number"
    spread = f"standard deviation {evaluation['std_return']:,.1f}"
    return f"{evaluation['mean_return']:,.1f} ({spread}), mean return of {episodes}"


def _choices(actions: Columns, names: list[str]) -> Table:
    """The median and the middle 80 % of what was chosen, in three parts of the run."""
    table = Table(
        title="choices: median (10 % to 90 % quantile)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("hyperparameter", no_wrap=True, style="cyan")
    for header in ("the task's own", *_PARTS):
        table.add_column(header, overflow="fold")
    acted = acting(actions)
    part = np.minimum(actions["phase"] * len(_PARTS) // (actions["phase"][-1] + 1), len(_PARTS) - 1)
    for name in names:
        own = actions[f"default.{name}"]
        start, end = own[0], own[-1]
        cells = [f"{start:.4g}" if start == end else f"{start:.4g} to {end:.4g}"]
        for number in range(len(_PARTS)):
            chosen = actions[name][acted & (part == number)]
            if len(chosen):
                low, median, high = np.quantile(chosen, [0.1, 0.5, 0.9])
                cells.append(f"{median:.4g} ({low:.4g} to {high:.4g})")
            else:
                cells.append("-")
        table.add_row(name, *cells)
    return table


def _files(folder: Path) -> list[str]:
    try:
        return sorted(RunFolder(folder).own())
    except ValueError:
        return sorted(path.name for path in folder.iterdir() if is_plain_file(path))


def _keywords(keywords: Any) -> str:
    text = ", ".join(f"{name}={json.dumps(value)}" for name, value in keywords.items())
    return f" ({text})" if text else ""
