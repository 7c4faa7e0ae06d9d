"""The picture of a schedule: which values of each hyperparameter were chosen, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import LogLocator

from hyperrl_env import DEFINITIONS
from hyperrl_lab.figure import (
    DARK,
    LIGHT,
    OWN,
    environment_steps,
    new_figure,
    say,
    shared_legend,
    tick_labels,
)
from hyperrl_lab.results import Columns, chosen_hyperparameters
from hyperrl_lab.summaries import Quantiles, Shares, quantiles, shares

# Rows that fit into a panel, and rows that its axis can label one by one.
_ROWS, _NAMED_ROWS = 24, 9
# Heights in inches: of a row, of a panel of many rows, of a panel without rows.
_ROW, _MANY_ROWS, _NO_ROWS = 0.19, 2.2, 1.2
UNITS = {"batch_size": "samples", "n_epochs": "passes", "n_steps": "steps"}
SHARE = "share of the updates"
_OWN_LABEL = "the task's own value"


def schedule(actions: Columns, title: str, path: Path) -> None:
    """Draws how often each value of every hyperparameter was chosen, over environment steps.

    Each hyperparameter has a strip with a row per value, shaded by the share of the updates in an update
    phase, or in windows of several phases if there are many phases or few hyper-actions in each. If
    hyper-actions choose from a range, a line shows the median and a band the 10 to 90 % quantiles.

    Args:
        actions: The result of `read_actions`.
        title: Names the run.
        path: The picture.
    """
    names = chosen_hyperparameters(actions)
    parts = [summed_up(actions, name) for name in names]
    heights = [panel_height(part) for part in parts]
    # The colour bar's label takes two inches.
    height = max(1.1 + sum(heights) + 0.3 * len(names), 2.2)
    with new_figure(path, (6.0, height)) as figure:
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        strips = []
        for axes, name, part in zip(panels, names, parts, strict=True):
            axes.set_title(heading(actions, name, part), loc="left", fontsize=9)
            if (strip := draw_panel(axes, name, part)) is not None:
                strips.append(strip)
        figure.suptitle(title, fontsize=10)
        if strips:
            figure.colorbar(strips[0], ax=list(panels), label=SHARE, aspect=35, pad=0.02)
        shared_legend(figure, panels)
        environment_steps(panels[-1])


def summed_up(actions: Columns, name: str) -> Shares | Quantiles | None:
    """What a panel shows of a hyperparameter; None if no hyper-action was taken."""
    if not len(actions["phase"]):
        return None
    component = actions.get(f"action.{name}")
    if component is not None and component.dtype.kind == "f":
        return quantiles(actions, name)
    found = shares(actions, name)
    return found if len(found.levels) <= _ROWS else quantiles(actions, name)


def panel_height(part: Shares | Quantiles | None) -> float:
    """The height of a panel in inches."""
    return min(_ROW * len(part.levels), _MANY_ROWS) if isinstance(part, Shares) else _NO_ROWS


def draw_panel(axes: Axes, name: str, part: Shares | Quantiles | None) -> Any:
    """Draws the result of `summed_up`.

    Returns:
        What a colour bar of the shares needs; None if no shares are drawn.
    """
    match part:
        case Shares():
            return _strip(axes, part)
        case Quantiles():
            _band(axes, part, log=DEFINITIONS[name].scale == "log")
        case None:
            say(axes, "no hyper-action was taken")
    return None


def heading(actions: Columns, name: str, part: Shares | Quantiles | None) -> str:
    """The hyperparameter, its unit, and the task's own value if it changes."""
    heading = f"{name} ({UNITS[name]})" if name in UNITS else name
    default = actions[f"default.{name}"]
    if part is None or not np.ptp(default):
        return heading
    first, last = tick_labels([default[0], default[-1]])
    if part.relative:
        return f"{heading}, multiples of the task's own ({first} to {last})"
    return f"{heading}, the task's own: {first} to {last}"


def _strip(axes: Axes, part: Shares) -> Any:
    rows = np.arange(len(part.levels) + 1) - 0.5
    image = axes.pcolormesh(part.edges, rows, part.share, cmap="Blues", vmin=0, vmax=1, rasterized=True)
    axes.hlines(rows[1:-1], part.edges[0], part.edges[-1], color="white", linewidth=0.6)
    line = axes.axhline(part.own, color=OWN, linewidth=1.4, linestyle="--", label=_OWN_LABEL)
    # A white edge makes it visible on dark cells.
    line.set_path_effects([Stroke(linewidth=2.4, foreground="white"), Normal()])
    labels = tick_labels(part.levels, "\N{MULTIPLICATION SIGN}" if part.relative else "")
    if part.moves:
        labels[part.own] = "own"
    named = np.arange(0, len(part.levels), -(-len(part.levels) // _NAMED_ROWS))
    axes.set_yticks(named, [labels[row] for row in named])
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    axes.spines[:].set(visible=True, color="0.6")
    return image


def _band(axes: Axes, part: Quantiles, *, log: bool) -> None:
    edges, default = part.edges, part.default
    axes.stairs(part.high, edges, baseline=part.low, fill=True, color=LIGHT, alpha=0.6, label="10 to 90 %")
    median = "median of the values chosen"
    axes.stairs(part.median, edges, baseline=None, color=DARK, linewidth=1.6, label=median)
    axes.stairs(default, edges, baseline=None, color=OWN, linewidth=1.4, linestyle="--", label=_OWN_LABEL)
    low, high = min(np.nanmin(part.low), default[0]), max(np.nanmax(part.high), default[0])
    if log and 0 < 4 * low <= high:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.15, high * 1.15)
        axes.minorticks_off()
        digits = (1, 2, 5) if high < 100 * low else (1,)
        axes.yaxis.set_major_locator(LogLocator(2) if part.relative else LogLocator(subs=digits))
    else:
        margin = 0.08 * ((high - low) or abs(high) or 1.0)
        axes.set_ylim(low - margin, high + margin)
        axes.locator_params(axis="y", nbins=5)
    bottom, top = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if bottom <= tick <= top]
    axes.set_yticks(ticks, tick_labels(ticks, "\N{MULTIPLICATION SIGN}" if part.relative else ""))
