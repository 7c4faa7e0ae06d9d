"""The command line: `hyperrl train`, `hyperrl resume` and `hyperrl list`.

Users' own code in the working folder can be named by its import path.

Each subcommand is a function of the parsed arguments that returns the exit code: 0 for success, 1 for a
run that failed and 2 for a user's error (each with one line on stderr), 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import gymnasium as gym
from rich.console import Console

from hyperrl_env import CheckpointError, InnerEnvError, __version__
from hyperrl_env.checks import unknown
from hyperrl_lab.assignments import known_keywords, parse_assignments
from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config, versions
from hyperrl_lab.display import Display
from hyperrl_lab.ids import resolve_id
from hyperrl_lab.interrupt import Interrupt
from hyperrl_lab.listing import LISTINGS, overview
from hyperrl_lab.results import outcome
from hyperrl_lab.run import CHECKPOINT_MINUTES, TrainingRun

FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130
# The exit code after a signal, as in a shell, is this plus its number: 130 for Ctrl-C.
_SIGNALLED = 128
# In a file or a pipe, tables and results do not wrap at 80 columns.
_PIPE_WIDTH = 240
# In a number of steps; 1e999999999 written out would fill the memory.
_MOST_DIGITS = 18


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: The arguments after the program's name; None: those of `sys.argv`.

    Returns:
        The exit code.
    """
    arguments = _parser().parse_args(argv)
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    command: Callable[[argparse.Namespace, Console], int] = arguments.command
    try:
        with _importable_working_folder():
            return command(arguments, console)
    except KeyboardInterrupt:
        _complain("stopped at once; nothing more was written", "interrupted")
        return INTERRUPTED


@contextmanager
def _importable_working_folder() -> Iterator[None]:
    """Puts the working folder last on Python's path, so that it hides no installed package."""
    if "" in sys.path:
        yield
        return
    sys.path.append("")
    try:
        yield
    finally:
        sys.path.remove("")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hyperrl", description="Trains a policy while a hyper-agent chooses the hyperparameters."
    )
    parser.add_argument("--version", action="version", version=f"hyperrl {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="command")
    _add_train(subcommands)
    resume = subcommands.add_parser(
        "resume",
        help="continue an interrupted run",
        description="Continues an interrupted run from its last checkpoint. The results are those of an "
        "uninterrupted run.",
    )
    resume.set_defaults(command=_resume)
    resume.add_argument("folder", type=Path, metavar="DIR", help="folder of the run")
    _add_checkpoint_minutes(resume)
    _add_list(subcommands)
    return parser


def _add_list(subcommands: Any) -> None:
    listing = subcommands.add_parser(
        "list",
        help="show ids, tasks, agents, hyperparameters, presets and hyper-rewards",
        description="Shows the table WHAT, or the names of all tables.",
    )
    listing.set_defaults(command=_list)
    listing.add_argument("what", nargs="?", metavar="WHAT", help=", ".join(LISTINGS))
    listing.add_argument(
        "filter", nargs="?", default="", metavar="FILTER", help="show only the rows that contain this text"
    )


def _add_train(subcommands: Any) -> None:
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
        type=_whole_number,
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
    _add_checkpoint_minutes(train)


def _whole_number(text: str) -> int:
    """A whole number, possibly in scientific notation."""
    with suppress(InvalidOperation):
        number = Decimal(text)
        if number.is_finite() and abs(number.adjusted()) < _MOST_DIGITS and number == int(number):
            return int(number)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number like 100000 or 1e5")


def _add_checkpoint_minutes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint-minutes",
        type=float,
        metavar="M",
        default=CHECKPOINT_MINUTES,
        help="minutes between checkpoints (default: %(default)g; 0: one before every hyper-step)",
    )


# Stable-Baselines3 checks some arguments by assertions.
_USERS_ERRORS = (ValueError, TypeError, AssertionError, OSError, CheckpointError, gym.error.Error)


def _train(arguments: argparse.Namespace, console: Console) -> int:
    def new_run() -> TrainingRun:
        config = _config(arguments)
        folder = arguments.out or _default_folder(config)
        return TrainingRun(config, folder, checkpoint_minutes=arguments.checkpoint_minutes)

    return _drive(new_run, console)


def _resume(arguments: argparse.Namespace, console: Console) -> int:
    folder = arguments.folder

    def interrupted_run() -> TrainingRun | None:
        config, made_with = read_config(folder / CONFIG_FILE)
        if (ended := outcome(folder)) is not None:
            console.print(f"{folder}: the run has already {ended}; nothing is left to do.", markup=False)
            return None
        _warn_of_versions(made_with)
        run = TrainingRun(
            config,
            folder,
            checkpoint_minutes=arguments.checkpoint_minutes,
            resume=True,
            warn=lambda message: _complain(message, "warning"),
        )
        console.print(f"continuing after {run.progress.env_steps:,} env steps", markup=False)
        return run

    return _drive(interrupted_run, console)


def _drive(make: Callable[[], TrainingRun | None], console: Console) -> int:
    """Makes a run, trains it and reports the result; None stands for a run with nothing left to do."""
    try:
        run = make()
    except InnerEnvError as error:
        _complain(str(error))
        return FAILED
    except _USERS_ERRORS as error:
        _complain(str(error) or repr(error))
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
        _complain(
            f"{str(error).removesuffix('.')}. " + ("The results are kept." if outcome(run.folder) else kept)
        )
        return FAILED
    score = summary["mean_return"]
    console.print(
        f"{summary['status']} after {summary['env_steps']:,} env steps in {summary['seconds']:,.0f} s "
        f"({summary['steps_per_second']:,.0f} per second), "
        + (
            "no inner episode ended"
            if score is None
            else f"mean return {score:,.1f} over the last {summary['score_episodes']} inner episodes"
        ),
        markup=False,
    )
    console.print(f"results in {run.folder}", markup=False, soft_wrap=True)
    if summary["status"] != "interrupted":
        return 0
    console.print(f"to continue: `hyperrl resume {run.folder}`", markup=False, soft_wrap=True)
    return _SIGNALLED + interrupt.requested


def _config(arguments: argparse.Namespace) -> RunConfig:
    """The configuration for the arguments of `train`."""
    if arguments.config is not None:
        config, made_with = read_config(arguments.config)
        settings = ("id", "agent", "seed", "total_env_steps", "set", "threads", "log_interval")
        if given := [name for name in settings if getattr(arguments, name) is not None]:
            options = ", ".join(_option(name) for name in given)
            raise ValueError(f"--config repeats a run unchanged: leave out {options}.")
        _warn_of_versions(made_with)
        return config
    if arguments.id is None:
        raise ValueError("Give the ID of an environment (`hyperrl list ids` shows them all) or --config.")
    agent = "epgt" if arguments.agent is None else arguments.agent
    keywords = parse_assignments(arguments.set or (), known_keywords(arguments.id, agent))
    return RunConfig(
        id=resolve_id(arguments.id),
        agent=agent,
        seed=0 if arguments.seed is None else arguments.seed,
        total_env_steps=arguments.total_env_steps,
        env_kwargs=keywords.env,
        agent_kwargs=keywords.agent,
        threads=1 if arguments.threads is None else arguments.threads,
        log_interval=arguments.log_interval,
    )


def _warn_of_versions(made_with: Mapping[str, str]) -> None:
    here = versions()
    if differing := sorted(name for name in made_with if made_with[name] != here.get(name)):
        changes = "; ".join(f"{name} {made_with[name]}, here {here.get(name, 'none')}" for name in differing)
        _complain(f"the run was made with other versions, so results may differ: {changes}", "warning")


def _list(arguments: argparse.Namespace, console: Console) -> int:
    what, contains = arguments.what, arguments.filter
    if what is None:
        console.print(overview())
        return 0
    if what not in LISTINGS:
        _complain(unknown("list", what, LISTINGS))
        return USER_ERROR
    table = LISTINGS[what].table(contains)
    if not table.row_count:
        _complain(f"Nothing in `hyperrl list {what}` contains {contains!r}.")
        return USER_ERROR
    console.print(table)
    return 0


def _default_folder(config: RunConfig) -> Path:
    name = f"{config.id}-{config.agent}-{config.seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    # An id can contain a module and a namespace.
    return Path("runs") / name.replace(":", "-").replace("/", "-")


def _option(name: str) -> str:
    return "ID" if name == "id" else f"--{name.replace('_', '-')}"


def _complain(message: str, kind: str = "error") -> None:
    line = " ".join(message.split())
    Console(stderr=True, highlight=False).print(f"{kind}: {line}", markup=False, soft_wrap=True)
