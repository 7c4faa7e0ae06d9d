"""The picture of several runs side by side: learning curves above, schedules below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperrl_lab.figure import environment_steps, new_figure, say, shared_legend
from hyperrl_lab.plots import RETURN, draw_returns
from hyperrl_lab.results import Columns, chosen_hyperparameters
from hyperrl_lab.schedules import SHARE, draw_panel, heading, panel_height, summed_up

# More columns would not fit on a page.
MOST_RUNS = 6
# Inches: width of a run's column, of what stands beside them; height of a learning curve, of all headings.
_COLUMN, _BESIDE, _CURVE, _AROUND, _HEADING = 3.2, 1.2, 2.4, 1.2, 0.35


@dataclass(frozen=True)
class ShownRun:
    """A run of the picture: its title, `read_episodes` and `read_actions`."""

    title: str
    episodes: Columns
    actions: Columns


def side_by_side(runs: Sequence[ShownRun], path: Path) -> None:
    """Draws a column per run: the returns on one scale, and the schedule of each hyperparameter.

    Args:
        runs: One to six.
        path: The picture.
    """
    names = list(dict.fromkeys(name for run in runs for name in chosen_hyperparameters(run.actions)))
    parts = {
        name: [summed_up(run.actions, name) if f"default.{name}" in run.actions else None for run in runs]
        for name in names
    }
    heights = [_CURVE, *(max(map(panel_height, row)) for row in parts.values())]
    size = _COLUMN * len(runs) + _BESIDE, sum(heights) + _HEADING * len(heights) + _AROUND
    with new_figure(path, size) as figure:
        panels = figure.subplots(len(heights), len(runs), sharex="col", squeeze=False, height_ratios=heights)
        for axes, run in zip(panels[0], runs, strict=True):
            draw_returns(axes, run.episodes)
            axes.set_title(run.title, fontsize=10)
            axes.sharey(panels[0, 0])
        panels[0, 0].set_ylabel(RETURN)
        strips = []
        for row, (name, shown) in zip(panels[1:], parts.items(), strict=True):
            for axes, run, part in zip(row, runs, shown, strict=True):
                if f"default.{name}" not in run.actions:
                    axes.set_title(name, loc="left", fontsize=8)
                    say(axes, "not chosen")
                    continue
                # Its width is that of a column.
                title = heading(run.actions, name, part).replace("task's own (", "task's own\n(")
                axes.set_title(title, loc="left", fontsize=8)
                if (strip := draw_panel(axes, name, part)) is not None:
                    strips.append(strip)
        if strips:
            figure.colorbar(strips[0], ax=list(panels[1:, -1]), label=SHARE, aspect=35, pad=0.03)
        shared_legend(figure, panels.ravel())
        for axes in panels[-1]:
            environment_steps(axes)
