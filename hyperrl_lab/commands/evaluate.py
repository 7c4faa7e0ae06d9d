"""`hyperrl evaluate`: deterministic episodes of what runs have trained."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperrl_env import InnerEnvError
from hyperrl_lab.commands.base import FAILED, USER_ERROR, USERS_ERRORS, complain, counted, whole_number
from hyperrl_lab.evaluation import EPISODES, EVALUATION_FILE, evaluate


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
    parser = subcommands.add_parser(
        "evaluate",
        help="evaluate the policies of finished runs",
        description="Plays deterministic episodes with the last policy of each run, normalised as in its "
        f"training, and writes them to {EVALUATION_FILE} in the run's folder.",
    )
    parser.set_defaults(command=_evaluate)
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "--episodes",
        type=whole_number,
        default=EPISODES,
        metavar="N",
        help="episodes per run (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number,
        metavar="N",
        help="seed of the environment (default: the run's seed plus 2**31, so never the one of training)",
    )


def _evaluate(arguments: argparse.Namespace, console: Console) -> int:
    worst = 0
    for folder in arguments.folders:
        try:
            result = evaluate(folder, arguments.episodes, arguments.seed)
        except InnerEnvError as error:
            complain(f"{folder}: {error}")
            worst = max(worst, FAILED)
            continue
        except USERS_ERRORS as error:
            complain(str(error) or repr(error))
            worst = max(worst, USER_ERROR)
            continue
        console.print(f"{folder}: {_told(result)}", soft_wrap=True)
    return worst


def _told(result: Mapping[str, Any]) -> str:
    """What came out, in words."""
    after = f"after {result['env_steps']:,} env steps of training"
    episodes = counted(result["episodes"], "episode")
    if result["mean_return"] is None:
        return f"no mean return over {episodes}, {after}: a return is not a finite number"
    spread = f"standard deviation {result['std_return']:,.1f}"
    return f"mean return {result['mean_return']:,.1f} ({spread}) over {episodes}, {after}"
