"""`hyperrl train`: one run."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperrl_env import CheckpointError, InnerEnvError
from hyperrl_lab.assignments import configure, parse_assignment
from hyperrl_lab.commands.base import (
    FAILED,
    SIGNALLED,
    USER_ERROR,
    USERS_ERRORS,
    add_checkpoint_minutes,
    complain,
    counted,
    warn_of_versions,
    whole_number,
)
from hyperrl_lab.config import RunConfig, read_config
from hyperrl_lab.display import Display
from hyperrl_lab.interrupt import Interrupt
from hyperrl_lab.results import outcome
from hyperrl_lab.run import TrainingRun


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    train = subcommands.add_parser("train", help="train one run", description="Trains one run.")
    train.set_defaults(command=_train)
    train.add_argument(
        "id", nargs="?", metavar="ID", help="environment, for example HyperRL-PPO-HalfCheetah-v0"
    )
    # No defaults here: --config allows none of these options, so given ones must be recognisable.
    train.add_argument(
        "--agent", help="hyper-agent: a name (default: epgt) or an import path (my_module:MyAgent)"
    )
    train.add_argument("--seed", type=int, help="seed of the inner run and of the agent (default: 0)")
    train.add_argument(
        "--total-env-steps",
        type=whole_number,
        metavar="N",
        help="budget of the run, for example 100000 or 1e5 (default: the task's)",
    )
    train.add_argument(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        help="set a keyword of the environment, the agent or the inner learner, searched in this order; "
        "env.KEY, agent.KEY and learner.KEY name the owner; VALUE is JSON or a string, for env_fn and "
        "hyper_reward also an import path (my_module:my_function); repeatable",
    )
    train.add_argument("--threads", type=int, metavar="N", help="threads of Torch and EnvPool (default: 1)")
    train.add_argument(
        "--log-interval",
        type=int,
        metavar="N",
        help="update phases per line of progress.csv (default: 1; about 200 lines in long runs)",
    )
    train.add_argument("--config", type=Path, metavar="FILE", help="repeat the run of this config.json")
    train.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the results (default: runs/ID-AGENT-SEED-TIME)"
    )
    add_checkpoint_minutes(train)


def _train(arguments: argparse.Namespace, console: Console) -> int:
    def new_run() -> TrainingRun:
        config = _config(arguments)
        folder = arguments.out or default_folder(config)
        return TrainingRun(config, folder, checkpoint_minutes=arguments.checkpoint_minutes)

    return drive(new_run, console)


def drive(make: Callable[[], TrainingRun | None], console: Console) -> int:
    """Makes a run, trains it and reports the result; None stands for a run with nothing left to do."""
    try:
        run = make()
    except InnerEnvError as error:
        complain(str(error))
        return FAILED
    except USERS_ERRORS as error:
        complain(str(error) or repr(error))
        return USER_ERROR
    if run is None:
        return 0
    console.print(f"{run.config.name}, {run.config.total_env_steps:,} env steps", markup=False)
    display = Display(console, run.progress)
    try:
        with Interrupt(display.stopping) as interrupt, display.live():
            summary = run.train(on_step=display.step, stop=lambda: bool(interrupt.requested))
    except (InnerEnvError, CheckpointError, OSError) as error:
        kept = (
            f"To continue from the last checkpoint: `hyperrl resume {run.folder}`."
            if run.resumable
            else "There is no checkpoint yet."
        )
        # A run that has ended can only fail to draw its pictures.
        complain(
            f"{str(error).removesuffix('.')}. " + ("The results are kept." if outcome(run.folder) else kept)
        )
        return FAILED
    score, episodes = summary["mean_return"], counted(summary["score_episodes"], "inner episode")
    console.print(
        f"{summary['status']} after {summary['env_steps']:,} env steps in {summary['seconds']:,.0f} s "
        f"({summary['steps_per_second']:,.0f} per second), "
        + (
            "no inner episode ended"
            if score is None
            else f"mean return {score:,.1f} over the last {episodes}"
        ),
        markup=False,
    )
    console.print(f"results in {run.folder}", markup=False, soft_wrap=True)
    if summary["status"] != "interrupted":
        return 0
    console.print(f"to continue: `hyperrl resume {run.folder}`", markup=False, soft_wrap=True)
    return SIGNALLED + interrupt.requested


def _config(arguments: argparse.Namespace) -> RunConfig:
    """The configuration for the arguments of `train`."""
    if arguments.config is not None:
        config, made_with = read_config(arguments.config)
        settings = ("id", "agent", "seed", "total_env_steps", "set", "threads", "log_interval")
        if given := [name for name in settings if getattr(arguments, name) is not None]:
            options = ", ".join(_option(name) for name in given)
            raise ValueError(f"--config repeats a run unchanged: leave out {options}.")
        warn_of_versions(made_with)
        return config
    if arguments.id is None:
        raise ValueError("Give the ID of an environment (`hyperrl list ids` shows them all) or --config.")
    agent = "epgt" if arguments.agent is None else arguments.agent
    return configure(
        arguments.id,
        agent,
        [parse_assignment(assignment) for assignment in arguments.set or ()],
        seed=0 if arguments.seed is None else arguments.seed,
        total_env_steps=arguments.total_env_steps,
        threads=1 if arguments.threads is None else arguments.threads,
        log_interval=arguments.log_interval,
    )


def default_folder(config: RunConfig) -> Path:
    """The folder of a run that was given none, in the working folder."""
    name = f"{config.id}-{config.agent}-{config.seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    # An id can contain a module and a namespace.
    return Path("runs") / name.replace(":", "-").replace("/", "-")


def _option(name: str) -> str:
    return "ID" if name == "id" else f"--{name.replace('_', '-')}"
