"""`hyperrl search`: hyperparameters chosen by many runs, one after the other or as a population."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperrl_env import InnerEnvError
from hyperrl_lab.assignments import configure, parse_assignment
from hyperrl_lab.commands.base import (
    FAILED,
    INTERRUPTED,
    SIGNALLED,
    USER_ERROR,
    USERS_ERRORS,
    add_checkpoint_minutes,
    complain,
    counted,
    whole_number,
)
from hyperrl_lab.commands.train import default_folder
from hyperrl_lab.config import RunConfig
from hyperrl_lab.interrupt import Interrupt
from hyperrl_lab.search.methods import (
    METHODS,
    PERTURB_EVERY,
    POPULATION,
    POPULATIONS,
    run_search,
    search_config,
)
from hyperrl_lab.search.ranges import Range


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    search = subcommands.add_parser(
        "search",
        help="search hyperparameters with many runs",
        description="Searches hyperparameters with many runs. The environment steps of all of them are "
        "counted. With the same arguments and folder, trials that were interrupted continue.",
    )
    search.set_defaults(command=_search)
    search.add_argument("id", metavar="ID", help="environment, for example HyperRL-PPO-Hopper-v0")
    search.add_argument(
        "--method",
        required=True,
        choices=METHODS,
        help="pbt, pb2: a population on Ray; grid, random_search, bayes: trials by Optuna",
    )
    search.add_argument("--seed", type=int, default=0, help="seed of the search and its runs (default: 0)")
    search.add_argument(
        "--total-env-steps",
        type=whole_number,
        metavar="N",
        help="budget of each run, not of all together (default: the task's)",
    )
    search.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="as for `hyperrl train`; search_space says what is searched, and in which ranges",
    )
    search.add_argument("--trials", type=int, metavar="N", help="runs of random_search and bayes")
    search.add_argument(
        "--prune", action="store_true", help="stop trials whose score is below the median of the others"
    )
    search.add_argument(
        "--population", type=int, metavar="N", help=f"members of pbt and pb2 (default: {POPULATION})"
    )
    search.add_argument(
        "--perturb-every",
        type=whole_number,
        metavar="N",
        help=f"environment steps of a member between perturbations (default: {PERTURB_EVERY})",
    )
    search.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of the Ray cluster for pbt and pb2 (default: RAY_ADDRESS, or a new one on this machine alone)",
    )
    search.add_argument(
        "--workers", type=int, metavar="N", help="processors for the Ray that is started here (default: all)"
    )
    search.add_argument("--threads", type=int, default=1, metavar="N", help="threads per run (default: 1)")
    search.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the results (default: runs/ID-METHOD-SEED-TIME)"
    )
    add_checkpoint_minutes(search)


def _search(arguments: argparse.Namespace, console: Console) -> int:
    try:
        config, choices = _config(arguments)
        folder = arguments.out or default_folder(config)
        console.print(f"{config.name}, {config.total_env_steps:,} env steps per run", markup=False)
        interrupt = Interrupt()
        # Ray Tune stops at Ctrl-C itself.
        with nullcontext() if config.agent in POPULATIONS else interrupt:
            summary = run_search(
                config,
                folder,
                choices,
                on_result=lambda result: console.print(_line(result), markup=False, soft_wrap=True),
                stop=lambda: bool(interrupt.requested),
                warn=lambda message: complain(message, "warning"),
                checkpoint_minutes=arguments.checkpoint_minutes,
                address=arguments.address,
                workers=arguments.workers,
            )
    except (InnerEnvError, RuntimeError) as error:
        complain(str(error))
        return FAILED
    except USERS_ERRORS as error:
        complain(str(error) or repr(error))
        return USER_ERROR
    score = summary["mean_return"]
    console.print(
        f"{summary['status']} after {summary['env_steps']:,} env steps in {counted(summary['runs'], 'run')}, "
        + (
            "no inner episode ended"
            if score is None
            else f"best mean return {score:,.1f} in {folder / summary['best']}"
        ),
        markup=False,
        soft_wrap=True,
    )
    console.print(f"results in {folder}", markup=False, soft_wrap=True)
    if summary["status"] != "interrupted":
        return 0
    return SIGNALLED + interrupt.requested if interrupt.requested else INTERRUPTED


def _config(arguments: argparse.Namespace) -> tuple[RunConfig, dict[str, Range]]:
    pairs = [parse_assignment(assignment) for assignment in arguments.set]
    config = configure(
        arguments.id,
        "fixed",
        pairs,
        seed=arguments.seed,
        total_env_steps=arguments.total_env_steps,
        threads=arguments.threads,
    )
    if config.agent_kwargs:
        raise ValueError("A search chooses the hyperparameters itself: leave out agent.action.")
    return search_config(
        config,
        arguments.method,
        population=arguments.population,
        perturb_every=arguments.perturb_every,
        trials=arguments.trials,
        prune=arguments.prune,
    )


def _line(result: Mapping[str, Any]) -> str:
    """A trial, or a member's interval, in a line."""
    name = f"member {result['member']}" if "member" in result else result["folder"]
    score = result["score"]
    chosen = ", ".join(f"{key}={value:g}" for key, value in result.get("hyperparameters", {}).items())
    return (
        f"{name}: {result['env_steps']:,} env steps, mean return "
        f"{'none yet' if score is None or score != score else f'{score:,.1f}'}"
        + (f", {chosen}" * bool(chosen))
    )
