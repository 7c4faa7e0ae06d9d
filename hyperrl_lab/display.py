"""Shows the progress of a run: live on a terminal, as plain lines elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hyperrl_lab.progress import Progress

# A plain line per part of the budget: every 5 %.
_PARTS = 20


class Display:
    """Shows the progress of a run on a console.

    On a terminal a thread redraws it four times a second, so stepping costs nothing; elsewhere `step`
    writes a plain line every 5 % of the budget.

    Args:
        console: Where to write.
        progress: The run's progress.
    """

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        # Rich looks at the environment's variables at every question.
        self._is_terminal = console.is_terminal
        self._progress = progress
        self._parts = 0

    def live(self) -> AbstractContextManager[object]:
        """A context manager that shows the progress."""
        if not self._is_terminal:
            return nullcontext()
        return Live(get_renderable=self._picture, console=self._console, refresh_per_second=4)

    def step(self, progress: Progress) -> None:
        """Shows a hyper-step."""
        # The last rollout is collected but not yet trained on: the run is not at its end.
        ending = progress.env_steps >= progress.total_env_steps and not progress.finished
        if self._is_terminal or ending:
            return
        parts = min(progress.env_steps * _PARTS // progress.total_env_steps, _PARTS)
        if parts > self._parts:
            self._parts = parts
            texts = [f"{parts * 100 // _PARTS:3d} %", _steps(progress), _state(progress), _values(progress)]
            self._console.print(", ".join(texts), soft_wrap=True, highlight=False, markup=False)

    def stopping(self) -> None:
        """Shows that the run will stop; safe in a signal handler, because it writes nothing itself."""
        self._progress.activity = "stopping (Ctrl-C again: at once)"

    def _picture(self) -> Group:
        progress = self._progress
        bar = ProgressBar(total=progress.total_env_steps, completed=progress.env_steps)
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True, min_width=8)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True, justify="right")
        grid.add_row(progress.activity, bar, _steps(progress))
        return Group(grid, Text(_state(progress)), Text(_values(progress), style="cyan"))


def _steps(progress: Progress) -> str:
    # Rollouts are collected completely, so the last one can exceed the budget.
    done = min(progress.env_steps, progress.total_env_steps)
    return f"{done:,} / {progress.total_env_steps:,} env steps"


def _state(progress: Progress) -> str:
    mean = "-" if progress.mean_return is None else f"{progress.mean_return:,.1f}"
    parts = [f"phase {progress.phase:,}", f"return {mean}", f"{progress.steps_per_second:,.0f} steps/s"]
    if not progress.finished:
        left = progress.seconds_left
        parts.append("? left" if left is None else f"{timedelta(seconds=round(left))} left")
    return ", ".join(parts)


def _values(progress: Progress) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in progress.hyperparameters.items())
