"""`hyperrl reproduce`: the paper's results, measured beside published."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperrl_env import InnerEnvError
from hyperrl_lab.commands.base import (
    FAILED,
    INTERRUPTED,
    USER_ERROR,
    USERS_ERRORS,
    complain,
    counted,
    whole_number,
)
from hyperrl_lab.commands.sweep import add_execution, carry_out, out_to_show
from hyperrl_lab.paper import STUDIES
from hyperrl_lab.reproduction import draw, markdown, measured, write_files
from hyperrl_lab.results_page import check_page, write_section
from hyperrl_lab.studies.populations import populations_exist, train_population
from hyperrl_lab.studies.record import write_record
from hyperrl_lab.studies.study import Study, StudyRun


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    parser = subcommands.add_parser(
        "reproduce",
        help="repeat a table or figure of the paper",
        description="Carries out a study of the paper, and writes what was measured beside what the paper "
        "reports: STUDY.md and STUDY.png in the folder. The same command again continues an interrupted "
        "study.",
    )
    parser.set_defaults(command=_reproduce)
    parser.add_argument("study", choices=STUDIES, metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the study")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="share of the paper's budget of environment steps, for example 0.1 (default: 1); the "
        "intervals at which populations are perturbed shrink with it, and every title shows it",
    )
    parser.add_argument(
        "--seeds", type=whole_number, metavar="N", help="number of seeds (default: the paper's)"
    )
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="only these tasks (default: all)")
    parser.add_argument(
        "--no-run", action="store_true", help="run nothing: only write what the folder's runs say"
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="also write it into a Markdown page, between <!-- STUDY: begin --> and <!-- STUDY: end -->",
    )
    add_execution(parser)


def _reproduce(arguments: argparse.Namespace, console: Console) -> int:
    name, folder = arguments.study, arguments.out
    code = 0
    try:
        paper = STUDIES[name]
        study = paper.scaled(arguments.scale, arguments.seeds, arguments.tasks)
        if arguments.page is not None:
            # After the runs is too late to be told.
            check_page(arguments.page, name)
        populations = paper.populations(study)
        counts = counted(len(study.runs()), "run")
        counts += f", {counted(len(populations), 'population')}" if populations else ""
        console.print(f"{study.title}: {counts}", markup=False)
        if not arguments.no_run:
            code = carry_out(study, folder, arguments, console)
            if code in (0, FAILED) and populations and populations_exist():
                code = _train(populations, study, arguments, console) or code
            if code not in (0, FAILED):
                return code
        found = measured(paper, study, folder)
        command = _command(arguments)
        table = write_files(found, name, command)
        if arguments.page is not None:
            write_section(
                arguments.page,
                name,
                draw=partial(draw, found),
                markdown=partial(markdown, found, command, heading="##"),
                runs=found.runs,
                baseline=study.baseline,
            )
    except USERS_ERRORS as error:
        complain(str(error) or repr(error))
        return USER_ERROR
    console.print(table.read_text(encoding="utf-8"), markup=False, soft_wrap=True)
    console.print(f"written to {table} and {table.with_suffix('.png')}", markup=False, soft_wrap=True)
    return code


def _train(
    populations: Sequence[StudyRun], study: Study, arguments: argparse.Namespace, console: Console
) -> int:
    """Trains populations, one after the other, and returns the exit code; one that fails stops no other."""
    write_record(study, arguments.out, populations)
    address = arguments.address or os.environ.get("RAY_ADDRESS")
    code = 0
    for run in populations:
        steps = f"{run.config.agent_kwargs['population']} x {run.config.total_env_steps:,} env steps"
        begins = f"{run.folder}: a population, {steps}"
        try:
            status = train_population(
                run,
                study,
                arguments.out,
                address=address,
                # A cluster has its own.
                workers=None if address else arguments.workers,
                begin=lambda line=begins: console.print(line, markup=False),  # type: ignore[misc]
            )
        except (InnerEnvError, RuntimeError, *USERS_ERRORS) as error:
            complain(f"{run.folder}: {error or repr(error)}")
            code = FAILED
            continue
        if status == "interrupted":
            complain(f"{run.folder} was interrupted. To train it again, move its folder elsewhere first.")
            return INTERRUPTED
        console.print(f"{run.folder}: {status}", markup=False)
    return code


def _command(arguments: argparse.Namespace) -> str:
    """The command that carries out the study, with what affects its results."""
    parts = ["hyperrl", "reproduce", arguments.study]
    if arguments.scale != 1:
        parts += ["--scale", f"{arguments.scale:g}"]
    if arguments.seeds is not None:
        parts += ["--seeds", str(arguments.seeds)]
    if arguments.tasks is not None:
        parts += ["--tasks", *arguments.tasks]
    return shlex.join([*parts, "--out", out_to_show(arguments.out, arguments.study)])
