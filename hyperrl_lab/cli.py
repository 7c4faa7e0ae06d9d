"""The command line: `hyperrl`.

Users' own code in the working folder can be named by its import path.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from hyperrl_env import __version__
from hyperrl_lab.commands import (
    compare,
    evaluate,
    evolve,
    experience,
    report,
    reproduce,
    results,
    resume,
    schedule,
    search,
    show,
    sweep,
    train,
    watch,
)
from hyperrl_lab.commands import list as listing
from hyperrl_lab.commands.base import INTERRUPTED, complain

_COMMANDS = (
    *(train, resume, sweep, search, evolve),
    *(show, compare, evaluate, watch, schedule),
    *(results, report, reproduce, experience, listing),
)
# In a file or a pipe, tables and results do not wrap at 80 columns.
_PIPE_WIDTH = 240


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: The arguments after the program's name; None: those of `sys.argv`.

    Returns:
        The exit code.
    """
    arguments = _parser().parse_args(argv)
    # Names and settings of runs are shown as they are, even where they look like markup.
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    command: Callable[[argparse.Namespace, Console], int] = arguments.command
    try:
        with _importable_working_folder(), _plain_warnings():
            return command(arguments, console)
    except KeyboardInterrupt:
        complain("stopped at once; nothing more was written", "interrupted")
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


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Shows what users are warned of as one line each, without the place in the code."""
    usual = warnings.formatwarning

    def plain(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if not issubclass(category, UserWarning):
            return usual(message, category, filename, lineno, line)
        text = " ".join(str(message).split())
        # Gymnasium's own say already what they are.
        return f"{text}\n" if "WARN:" in text else f"warning: {text}\n"

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = usual


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hyperrl", description="Trains a policy while a hyper-agent chooses the hyperparameters."
    )
    parser.add_argument("--version", action="version", version=f"hyperrl {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="command")
    for command in _COMMANDS:
        command.add(subcommands)
    return parser
