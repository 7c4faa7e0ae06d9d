"""`hyperrl evolve`: trains the weights of the agent `controller`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperrl_lab.commands.base import USER_ERROR, USERS_ERRORS, complain, whole_number
from hyperrl_lab.commands.sweep import add_execution, carry_out
from hyperrl_lab.controller_training import (
    GENERATIONS,
    POPULATION,
    SIGMA,
    WEIGHTS_FILE,
    ControllerTraining,
)
from hyperrl_lab.studies.declaration import read_study


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    parser = subcommands.add_parser(
        "evolve",
        help="train the agent `controller` over whole runs",
        description="Trains the weights of the agent `controller` by CMA-ES, over whole runs on the tasks of "
        "a study, and writes them to DIR/controller.json. The same command again continues what was cut; "
        "with more generations, it goes on.",
    )
    parser.set_defaults(command=_evolve)
    parser.add_argument(
        "study",
        type=Path,
        metavar="STUDY.toml",
        help="the study: its tasks, its seeds, and the one method to compare with",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the training")
    for option, default, what in (
        ("generations", GENERATIONS, "total number of generations, including those already done"),
        ("population", POPULATION, "members of a generation"),
        (
            "seeds-per-generation",
            1,
            "seeds of the study per generation; the next generation takes the following ones",
        ),
        ("seed", 0, "seed of the members' weights"),
    ):
        parser.add_argument(
            f"--{option}",
            type=whole_number,
            metavar="N",
            default=default,
            help=f"{what} (default: %(default)s)",
        )
    parser.add_argument(
        "--sigma",
        type=float,
        metavar="X",
        default=SIGMA,
        help="standard deviation of every weight at first (default: %(default)g)",
    )
    add_execution(parser)


def _evolve(arguments: argparse.Namespace, console: Console) -> int:
    try:
        with ControllerTraining(
            read_study(arguments.study),
            arguments.out,
            generations=arguments.generations,
            population=arguments.population,
            sigma=arguments.sigma,
            seed=arguments.seed,
            seeds_per_generation=arguments.seeds_per_generation,
        ) as training:
            return _generations(training, arguments, console)
    except USERS_ERRORS as error:
        complain(str(error) or repr(error))
        return USER_ERROR


def _generations(training: ControllerTraining, arguments: argparse.Namespace, console: Console) -> int:
    while (study := training.next_study()) is not None:
        number = len(training.evolution.generations) + 1
        console.print(f"generation {number} of {arguments.generations}", markup=False)
        if code := carry_out(study, training.runs, arguments, console):
            return code
        training.take()
    path = arguments.out / WEIGHTS_FILE
    console.print(f"{path} holds the weights: --agent controller --set weights={path}", markup=False)
    return 0
