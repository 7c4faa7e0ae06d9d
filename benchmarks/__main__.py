"""`python -m benchmarks`: runs comparisons and prints their tables as Markdown."""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import platform
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.tables import UnavailableError
from benchmarks.timing import one_thread
from hyperrl_env import __version__
from hyperrl_env.saving.files import write_text

# Modules with a function `table`, in the page's order.
NAMES = (
    "update",
    "environment_phase",
    "end_to_end",
    "sweep",
    "control",
    "memory",
    "hyper_state",
    "a2c",
    "vector_backends",
    "atari",
    "acktr_cost",
    "snapshot",
    "resident_memory",
    "report",
    "key_quality",
)
# "envpool" is an extra.
PACKAGES = ("numpy", "torch", "stable-baselines3", "gymnasium", "mujoco", "faiss-cpu", "envpool")
PAGE = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description="Runs comparisons and prints their tables as Markdown. All take about an hour.",
        epilog=f"Names: {', '.join(NAMES)}.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to run; default: all")
    parser.add_argument("--quick", action="store_true", help="smallest budgets, for a look; measures nothing")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="also write the tables to a new file, or between the marks of one that has them",
    )
    where.add_argument(
        "--write", action="store_const", const=PAGE, dest="out", help="the same as --out benchmarks/README.md"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    command = parser()
    arguments = command.parse_args(argv)
    names = tuple(dict.fromkeys(arguments.names)) or NAMES
    if unknown := [name for name in names if name not in NAMES]:
        command.error(f"unknown benchmark {unknown[0]!r}. Valid names: {', '.join(NAMES)}")
    is_page = arguments.out is not None and arguments.out.resolve() == PAGE.resolve()
    if is_page and (names != NAMES or arguments.quick):
        command.error(
            "the page's tables are those of one full run: give neither names nor --quick, or another file"
        )
    if arguments.out is not None:
        try:
            with_measured(arguments.out, "")  # afterwards is too late to be told
        except ValueError as error:
            command.error(str(error))
    parts = [head(arguments.quick)]
    print(parts[0], flush=True)
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        parts.append(section(name, arguments.quick))
        print(parts[-1], flush=True)
    if arguments.out is not None:
        write_text(arguments.out, with_measured(arguments.out, "\n".join(parts)))
    return 0


def section(name: str, quick: bool) -> str:
    """Runs a benchmark: its table, or a line that says why there is none."""
    module = importlib.import_module(f"benchmarks.{name}")
    one_thread()  # for what was just loaded
    try:
        return str(module.table(quick).markdown())
    except UnavailableError as reason:
        return f"`{name}` was skipped: {reason}.\n"


def head(quick: bool) -> str:
    """Date, machine and versions."""
    today = datetime.date.today()
    versions = ", ".join(f"{package} {found}" for package in PACKAGES if (found := version(package)))
    look = "A quick look, not a measurement. " if quick else ""
    return (
        f"{look}Measured on {today.day} {today:%B %Y}: {processor()}, {os.cpu_count()} cores, "
        f"{platform.system()}; hyperrl {__version__}, Python {platform.python_version()}, "
        f"{versions}.\n"
    )


def version(package: str) -> str | None:
    """A package's version; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's name as the system gives it."""
    cpus = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", cpus.read_text(), re.MULTILINE) if cpus.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def with_measured(path: Path, measured: str) -> str:
    """A file's text with these tables between its marks; the marks and the tables for a new file.

    Raises:
        ValueError: The file is there and lacks the marks, or its folder is not there.
    """
    new = f"{BEGIN}\n{measured}\n{END}"
    if not path.exists():
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {path.parent}")
        return new + "\n"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{path} exists and is not replaced: it lacks the marks {BEGIN} and {END}")
    return text[: text.index(BEGIN)] + new + text[text.index(END) + len(END) :]


if __name__ == "__main__":
    sys.exit(main())
