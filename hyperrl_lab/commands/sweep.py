"""`hyperrl sweep`: all runs of a study."""

from __future__ import annotations

import argparse
import shlex
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperrl_lab.assignments import parse_assignment
from hyperrl_lab.commands.base import (
    FAILED,
    SIGNALLED,
    USER_ERROR,
    USERS_ERRORS,
    add_checkpoint_minutes,
    complain,
    whole_number,
)
from hyperrl_lab.interrupt import Interrupt
from hyperrl_lab.results_page import check_page, write_section
from hyperrl_lab.studies.declaration import read_study, study_of
from hyperrl_lab.studies.display import SweepDisplay
from hyperrl_lab.studies.executor import Executor
from hyperrl_lab.studies.league import check_league, draw, league, markdown
from hyperrl_lab.studies.study import Study
from hyperrl_lab.studies.sweep import sweep

_IN_THE_FILE = ("id", "agent", "seeds", "total_env_steps", "set", "evaluate_episodes")


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    parser = subcommands.add_parser(
        "sweep",
        help="carry out a study: many runs",
        description="Carries out a study into one folder: every task with every agent and every seed. The "
        "same command again skips what is finished and continues what was cut.",
    )
    parser.set_defaults(command=_sweep)
    parser.add_argument("study", nargs="?", type=Path, metavar="STUDY.toml", help="the study's declaration")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the study")
    # No defaults here: with a file none of these options is allowed, so given ones must be recognisable.
    parser.add_argument("--id", action="append", metavar="ID", help="environment; repeatable")
    parser.add_argument(
        "--agent",
        action="append",
        help="hyper-agent: a name or an import path (default: epgt); repeatable, the first is the baseline",
    )
    parser.add_argument("--seeds", metavar="SEEDS", help="for example 0-9 or 0,1,5-7 (default: 0-4)")
    parser.add_argument(
        "--total-env-steps", type=whole_number, metavar="N", help="budget of a run (default: each task's)"
    )
    parser.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="a keyword of every run, as for `hyperrl train`; repeatable",
    )
    parser.add_argument(
        "--evaluate-episodes",
        type=whole_number,
        metavar="N",
        help="evaluate each final policy with N deterministic episodes (default: 0)",
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="also rank the methods in a Markdown page, between <!-- NAME: begin --> and <!-- NAME: end -->, "
        "where NAME is that of the study's file; needs two tasks with reference scores",
    )
    add_execution(parser)


def add_execution(parser: argparse.ArgumentParser) -> None:
    """Adds the options of how a study is carried out."""
    parser.add_argument(
        "--workers",
        type=whole_number,
        metavar="N",
        help="runs at the same time, each in a process of its own (default: one per core, of the machine or "
        "of the cluster)",
    )
    parser.add_argument(
        "--backend",
        choices=("local", "ray"),
        default="local",
        help="where: processes on this machine, or a Ray cluster, which needs the extra `ray`",
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of the Ray cluster (default: RAY_ADDRESS, or a new one on this machine alone)",
    )
    add_checkpoint_minutes(parser)


def carry_out(study: Study, folder: Path, arguments: argparse.Namespace, console: Console) -> int:
    """Carries out a study as the options of `add_execution` say, shows it, and returns the exit code."""
    try:
        # Before the handlers of Ctrl-C and SIGTERM, because Ray sets its own.
        executor = _executor(arguments)
        with SweepDisplay(console) as display, Interrupt(display.stopping) as interrupt:
            outcome = sweep(
                study,
                folder,
                workers=arguments.workers,
                checkpoint_minutes=arguments.checkpoint_minutes,
                executor=executor,
                begin=display.begin,
                watch=display.watch,
                stop=lambda: bool(interrupt.requested),
            )
            display.end(outcome)
    except USERS_ERRORS as error:
        complain(str(error) or repr(error))
        return USER_ERROR
    if interrupt.requested and outcome.interrupted:
        console.print("to continue: the same command again", markup=False)
        return SIGNALLED + interrupt.requested
    return FAILED if outcome.failed or outcome.interrupted else 0


def out_to_show(out: Path, name: str) -> str:
    """The folder in the command that others can repeat: as given, but for a path of this machine alone."""
    return f"runs/{name}" if out.is_absolute() else out.as_posix()


def _executor(arguments: argparse.Namespace) -> Executor | None:
    if arguments.backend == "ray":
        # Ray is an extra, and takes a second to import.
        from hyperrl_lab.studies.ray_cluster import RayCluster

        return RayCluster(arguments.address, arguments.workers)
    if arguments.address is not None:
        raise ValueError("--address is that of a Ray cluster: add --backend ray.")
    return None


def _sweep(arguments: argparse.Namespace, console: Console) -> int:
    page: Path | None = arguments.page
    try:
        study = _study(arguments)
        if page is not None:
            # After the runs is too late to be told.
            check_page(page, _name(arguments))
            check_league(study)
    except USERS_ERRORS as error:
        complain(str(error) or repr(error))
        return USER_ERROR
    code = carry_out(study, arguments.out, arguments, console)
    if page is None or code not in (0, FAILED):
        return code
    try:
        _write_page(page, study, arguments)
    except USERS_ERRORS as error:
        complain(str(error) or repr(error))
        return USER_ERROR
    console.print(f"written to {page}", markup=False, soft_wrap=True)
    return code


def _name(arguments: argparse.Namespace) -> str:
    """The study's name in a page."""
    if arguments.study is None:
        raise ValueError("--page names the study by its file: give a study's file.")
    return str(arguments.study.stem)


def _write_page(page: Path, study: Study, arguments: argparse.Namespace) -> None:
    name, found = _name(arguments), league(arguments.out, study)
    parts = [
        "hyperrl",
        "sweep",
        arguments.study.as_posix(),
        "--out",
        out_to_show(arguments.out, name),
        "--page",
        page.as_posix(),
    ]
    command = shlex.join(parts)
    write_section(
        page,
        name,
        draw=partial(draw, found),
        markdown=partial(markdown, found, command),
        runs=found.runs,
        baseline=found.baseline,
    )


def _study(arguments: argparse.Namespace) -> Study:
    given = [name for name in _IN_THE_FILE if getattr(arguments, name) is not None]
    if arguments.study is not None:
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise ValueError(f"A study's file says everything: leave out {options}.")
        return read_study(arguments.study)
    if arguments.id is None:
        raise ValueError("Give the file of a study, or an environment with --id (`hyperrl list ids`).")
    content = {
        "title": arguments.out.resolve().name,
        "tasks": arguments.id,
        "methods": arguments.agent or ["epgt"],
        "seeds": arguments.seeds or "0-4",
    }
    for name in ("total_env_steps", "evaluate_episodes"):
        if name in given:
            content[name] = getattr(arguments, name)
    return study_of(content, [parse_assignment(assignment) for assignment in arguments.set or ()])
