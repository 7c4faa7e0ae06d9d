"""Shows a sweep: a live table on a terminal, a line for every beginning and end elsewhere."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hyperrl_lab.results import outcome
from hyperrl_lab.studies.board import Board, Entry, Outcome

# Failures that the live table names; the end names all.
_NAMED = 5


class SweepDisplay:
    """Shows a sweep on a console; its methods are what `sweep` calls.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._board = Board([])
        self._stopping = False
        self._live = ExitStack()

    def __enter__(self) -> SweepDisplay:
        return self

    def __exit__(self, *error: object) -> None:
        self._live.close()

    def begin(self, board: Board) -> None:
        """Shows the sweep from now on."""
        self._board = board
        if self._console.is_terminal:
            live = Live(get_renderable=self._picture, console=self._console, refresh_per_second=4)
            self._live.enter_context(live)
        else:
            done, every = len(board.entries("finished")), len(board.entries())
            runs = f"{every} run{'s' * (every != 1)}"
            self._say(runs + (f", of which {done} {'is' if done == 1 else 'are'} finished" if done else ""))
        for entry in board.entries("failed"):
            self.watch(entry)

    def watch(self, entry: Entry) -> None:
        """Shows that the state of a run has changed."""
        if self._console.is_terminal and entry.state != "failed":
            return
        detail = {
            "running": "begins" if entry.snapshot is None else "goes on",
            "elsewhere": f"is waited for: {entry.error}",
            "finished": _result(entry),
            "failed": f"failed: {entry.error}",
        }
        ended, every = len(self._board.entries("finished", "failed")), len(self._board.entries())
        self._say(f"{ended}/{every} {entry.job.name}: {detail.get(entry.state, entry.state)}")

    def stopping(self) -> None:
        """Shows that the sweep will stop; safe in a signal handler, because it writes nothing itself."""
        self._stopping = True

    def end(self, outcome: Outcome) -> None:
        """Shows how the sweep ended: counts, and every failure with its log."""
        self._live.close()
        counts = {name: len(getattr(outcome, name)) for name in ("finished", "failed", "interrupted")}
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for name in ("runs", *counts):
            table.add_column(name, justify="right")
        table.add_row(str(sum(counts.values())), *map(str, counts.values()))
        self._console.print(table)
        for failure in outcome.failed:
            log = "" if failure.log is None else f" (log: {failure.log})"
            self._say(f"{failure.run}: {failure.error}{log}")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _picture(self) -> Group:
        board = self._board
        counts = [
            f"{len(found)} {name}"
            for name in ("finished", "running", "waiting", "elsewhere", "failed", "interrupted")
            if (found := board.entries(name))
        ]
        left = board.seconds_left()
        if self._stopping:
            counts.append("stopping (Ctrl-C again: at once)")
        elif left is not None:
            counts.append(f"{timedelta(seconds=round(left))} left")
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
        table.add_column("run", style="cyan", no_wrap=True, ratio=2)
        table.add_column("", no_wrap=True)
        table.add_column("", ratio=1)
        for name in ("env steps", "return", "steps/s", "left"):
            table.add_column(name, justify="right", no_wrap=True)
        for entry in board.entries("running", "elsewhere"):
            table.add_row(*_cells(entry))
        failed = [
            Text.from_markup(f"[red]failed[/] {escape(f'{entry.job.name}: {entry.error}')}")
            for entry in board.entries("failed")[-_NAMED:]
        ]
        return Group(table, *failed, Text(", ".join(counts)))


def _cells(entry: Entry) -> list[str | ProgressBar]:
    """A row of the live table."""
    total, snapshot = entry.job.config.total_env_steps or 1, entry.snapshot
    if entry.state == "elsewhere":
        return [entry.job.name, "elsewhere", "", "", "", "", ""]
    if snapshot is None:
        return [entry.job.name, "starting", ProgressBar(total, 0), "", "", "", ""]
    done, left = min(snapshot.env_steps, total), snapshot.seconds_left
    return [
        entry.job.name,
        snapshot.activity,
        ProgressBar(total, done),
        f"{done:,} / {total:,}",
        "-" if snapshot.mean_return is None else f"{snapshot.mean_return:,.1f}",
        f"{snapshot.steps_per_second:,.0f}",
        "?" if left is None else str(timedelta(seconds=round(left))),
    ]


def _result(entry: Entry) -> str:
    """How a run ended, and its score."""
    ended = outcome(entry.job.folder) or "finished"
    score = None if entry.snapshot is None else entry.snapshot.mean_return
    return ended if score is None else f"{ended}, return {score:,.1f}"
