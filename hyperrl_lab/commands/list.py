"""`hyperrl list`: tables of what there is."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console

from hyperrl_env.checks import unknown
from hyperrl_lab.commands.base import USER_ERROR, complain
from hyperrl_lab.listing import LISTINGS, overview


def add(subcommands: Any) -> None:
    """Adds the subcommand."""
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


def _list(arguments: argparse.Namespace, console: Console) -> int:
    what, contains = arguments.what, arguments.filter
    if what is None:
        console.print(overview())
        return 0
    if what not in LISTINGS:
        complain(unknown("list", what, LISTINGS))
        return USER_ERROR
    table = LISTINGS[what].table(contains)
    if not table.row_count:
        complain(f"Nothing in `hyperrl list {what}` contains {contains!r}.")
        return USER_ERROR
    console.print(table)
    return 0
