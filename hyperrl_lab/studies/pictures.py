"""The learning curves of a study: a panel per task, a line per method, and a band over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hyperrl_lab.figure import environment_steps, new_figure, say
from hyperrl_lab.studies.comparison import Group
from hyperrl_lab.studies.curves import curves
from hyperrl_lab.studies.statistics import Estimate, estimate
from hyperrl_lab.summaries import SCORE_EPISODES

# Okabe and Ito's, which the colour-blind can tell apart; the line styles tell them apart in grey.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
_STYLES = ("-", "--", "-.", ":")
_STATISTICS = {"iqm": "interquartile mean", "median": "median", "mean": "mean"}
_COLUMNS = 3


def curve(
    folder: Path, runs: pa.Table, group: Group, statistic: str
) -> tuple[NDArray[np.float64], Estimate] | None:
    """A method's learning curve on a task: a sample-efficiency curve.

    Args:
        folder: The folder of the runs.
        runs: The result of `runs_table`.
        group: Its runs.
        statistic: A name of `statistics.STATISTICS`.

    Returns:
        Environment steps, from the first at which every run has a score to the budget, and the statistic at
        each; None if no run has ended. The score of a run that ended before the budget stays as it is.
    """
    rows = [
        place
        for place, row in enumerate(runs.to_pylist())
        if (row["task"], row["id"], row["budget"], row["method"])
        == (group.task, group.id, group.budget, group.method)
        and row["seed"] in group.scores
    ]
    if not rows:
        return None
    steps, scores = curves(folder, runs.take(rows))
    for score in scores:
        known = np.flatnonzero(~np.isnan(score))
        if len(known):
            score[known[-1] :] = score[known[-1]]
    whole = ~np.isnan(scores).any(axis=0)
    return (steps[whole], estimate(scores[:, None, whole], statistic)) if whole.any() else None


def draw_curves(
    folder: Path, runs: pa.Table, groups: Sequence[Group], title: str, path: Path, statistic: str = "iqm"
) -> None:
    """Draws the learning curves of all methods.

    Args:
        folder: The folder of the runs.
        runs: The result of `runs_table`.
        groups: The result of `comparison.grouped`.
        title: Names the study.
        path: The picture.
        statistic: A name of `statistics.STATISTICS`. Bands are its intervals, from five seeds on.
    """
    tasks = list(dict.fromkeys(group.task for group in groups))
    looks = {
        method: (_COLOURS[place % len(_COLOURS)], _STYLES[place % len(_STYLES)])
        for place, method in enumerate(dict.fromkeys(group.method for group in groups))
    }
    columns = min(len(tasks), _COLUMNS)
    rows = -(-len(tasks) // columns)
    with new_figure(path, (max(3.2 * columns, 5.0), 2.6 * rows + 1.0)) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, task in zip(panels, tasks, strict=False):
            own = [group for group in groups if group.task == task]
            _panel(axes, folder, runs, own, looks, statistic)
            axes.set_title(f"{task}{_seeds(own)}", fontsize=9)
        for axes in panels[len(tasks) :]:
            axes.set_visible(False)
        label = f"return ({_STATISTICS[statistic]} over seeds)"
        figure.supylabel(f"{label}\nmean of the last {SCORE_EPISODES} episodes", fontsize=8)
        lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
        if lines:
            figure.legend(lines.values(), lines, loc="outside lower center", ncols=min(len(lines), 4))
        figure.suptitle(fill(title, int(13 * figure.get_figwidth())), fontsize=10)


def _seeds(groups: Sequence[Group]) -> str:
    """How many seeds are behind the lines."""
    counts = sorted({len(group.scores) for group in groups if group.scores})
    if not counts:
        return ""
    few, many = counts[0], counts[-1]
    return f" ({few} to {many} seeds)" if few < many else f" ({few} seed{'s' * (few > 1)})"


def _panel(
    axes: Axes,
    folder: Path,
    runs: pa.Table,
    groups: Sequence[Group],
    looks: Mapping[str, tuple[str, str]],
    statistic: str,
) -> None:
    drawn = False
    for group in groups:
        if (found := curve(folder, runs, group, statistic)) is None:
            continue
        (steps, values), (colour, style), drawn = found, looks[group.method], True
        axes.plot(steps, values.value, color=colour, linestyle=style, linewidth=1.5, label=group.method)
        if values.low is not None:
            axes.fill_between(steps, values.low, values.high, color=colour, alpha=0.15, linewidth=0)
    if not drawn:
        say(axes, "no run has ended")
        return
    axes.set_xlim(left=0)
    environment_steps(axes)
