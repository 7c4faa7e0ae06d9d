"""What the subcommands share: exit codes, errors, types of arguments."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation

import gymnasium as gym
from rich.console import Console

from hyperrl_env import CheckpointError
from hyperrl_lab.config import versions
from hyperrl_lab.run import CHECKPOINT_MINUTES

FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130
# The exit code after a signal, as in a shell, is this plus its number: 130 for Ctrl-C.
SIGNALLED = 128
# Stable-Baselines3 checks some arguments by assertions.
USERS_ERRORS = (ValueError, TypeError, AssertionError, OSError, CheckpointError, gym.error.Error)
# In a number of steps; 1e999999999 written out would fill the memory.
_MOST_DIGITS = 18


def complain(message: str, kind: str = "error") -> None:
    """Writes one line to stderr."""
    line = " ".join(message.split())
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    console.print(f"{kind}: {line}", soft_wrap=True)


def counted(number: int, name: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "run"), counted(2_000, "run")
        ('1 run', '2,000 runs')
    """
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def warn_of_versions(made_with: Mapping[str, str]) -> None:
    """Warns if a run was made with other versions than those installed."""
    here = versions()
    if differing := sorted(name for name in made_with if made_with[name] != here.get(name)):
        changes = "; ".join(f"{name} {made_with[name]}, here {here.get(name, 'none')}" for name in differing)
        complain(f"the run was made with other versions, so results may differ: {changes}", "warning")


def whole_number(text: str) -> int:
    """A whole number, possibly in scientific notation."""
    with suppress(InvalidOperation):
        number = Decimal(text)
        if number.is_finite() and abs(number.adjusted()) < _MOST_DIGITS and number == int(number):
            return int(number)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number like 100000 or 1e5")


def add_checkpoint_minutes(parser: argparse.ArgumentParser) -> None:
    """Adds the option `--checkpoint-minutes`."""
    parser.add_argument(
        "--checkpoint-minutes",
        type=float,
        metavar="M",
        default=CHECKPOINT_MINUTES,
        help="minutes between checkpoints (default: %(default)g; 0: one before every hyper-step)",
    )
