"""Pictures of a run: learning curve, hyperparameter schedule, map of the memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator
from numpy.typing import NDArray

from hyperrl_env import DEFINITIONS
from hyperrl_env.files import whole_file
from hyperrl_lab.results import Columns, chosen_hyperparameters, read_actions, read_episodes
from hyperrl_lab.summaries import SCORE_EPISODES, running_mean, windows

CURVE_FILE, SCHEDULE_FILE, MEMORY_FILE = "learning_curve.png", "schedule.png", "memory.png"
_MEMORY_POINTS = 2_000
# Fewer keys make no map.
_FEWEST_KEYS = 10
# Values of a hyperparameter that the axis can name one by one.
_TICKS = 7
_UNITS = {"batch_size": "samples", "n_epochs": "passes", "n_steps": "steps"}
# Legible in print at one column's width, and in grey: light points and bands, dark lines.
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.dpi": 200,
}
_DARK, _LIGHT = "#0b3c6f", "#7fb0dc"
_DEFAULT_LINE = "#c44500"


def draw_pictures(folder: Path, title: str, memory: Any = None) -> None:
    """Draws everything that the results of a run allow, into their folder.

    Args:
        folder: Holds the run's columnar files.
        title: Names the run.
        memory: The agent's episodic memory, where it has one.
    """
    learning_curve(read_episodes(folder), title, folder / CURVE_FILE)
    schedule(read_actions(folder), title, folder / SCHEDULE_FILE)
    if memory is not None:
        memory_map(memory.keys, memory.values, title, folder / MEMORY_FILE)


def learning_curve(episodes: Columns, title: str, path: Path) -> None:
    """The returns of all inner episodes over environment steps, and their running mean.

    Args:
        episodes: What `read_episodes` returned.
        title: Names the run.
        path: The picture.
    """
    with _figure(path, (6.0, 3.6)) as figure:
        axes = figure.subplots()
        steps, returns = episodes["env_steps"], episodes["return"]
        if len(returns):
            window = min(len(returns), SCORE_EPISODES)
            axes.plot(
                steps, returns, ".", color=_LIGHT, markersize=_marker_size(len(returns)), label="one episode"
            )
            mean = running_mean(returns, window)
            # Means of the first few episodes jump; a long run can do without them.
            start = window - 1 if len(returns) >= 2 * window else 0
            label = f"mean of the last {window}"
            axes.plot(steps[start:], mean[start:], color=_DARK, linewidth=2, label=label)
            figure.legend(loc="outside lower center", ncols=2, markerscale=2)
        else:
            _say(axes, "no inner episode ended")
        figure.suptitle(title, fontsize=10)
        axes.set_ylabel("return of an inner episode (undiscounted)")
        _environment_steps(axes)


def schedule(actions: Columns, title: str, path: Path) -> None:
    """The values chosen of every hyperparameter over environment steps, beside the task's own.

    A line for the median and a band from the 10 to the 90 % quantile of each update phase, or of
    windows of several phases where there are many phases or few hyper-actions in each.

    Args:
        actions: What `read_actions` returned.
        title: Names the run.
        path: The picture.
    """
    names = chosen_hyperparameters(actions)
    with _figure(path, (6.0, 1.0 + 1.5 * len(names))) as figure:
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for axes, name in zip(panels, names, strict=True):
            axes.set_ylabel(f"{name}\n({_UNITS[name]})" if name in _UNITS else name)
            if len(actions["phase"]):
                _schedule_panel(axes, actions, name)
            else:
                _say(axes, "no hyper-action was taken")
        figure.suptitle(title, fontsize=10)
        if len(actions["phase"]):
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.align_ylabels(panels)
        _environment_steps(panels[-1])


def memory_map(keys: NDArray[Any], values: NDArray[Any], title: str, path: Path) -> None:
    """The memory's keys as points in the plane (t-SNE), coloured by their values.

    Nothing is drawn of a memory of fewer than ten entries, or of one key only.

    Args:
        keys: (n, d).
        values: (n,).
        title: Names the run.
        path: The picture.
    """
    if len(keys) > _MEMORY_POINTS:
        some = np.sort(np.random.default_rng(0).choice(len(keys), _MEMORY_POINTS, replace=False))
        keys, values = keys[some], values[some]
    if len(keys) < _FEWEST_KEYS or not np.ptp(keys, axis=0).any():
        return
    points = _tsne(keys)
    # The best entries are the rarest: they lie on top.
    by_value = np.argsort(values)
    points, values = points[by_value], values[by_value]
    with _figure(path, (6.0, 4.6)) as figure:
        axes = figure.subplots()
        low, high = np.percentile(values, [2, 98])
        dots = axes.scatter(
            points[:, 0],
            points[:, 1],
            s=200 / len(keys) ** 0.5,
            c=values,
            cmap="viridis",
            vmin=low,
            vmax=high,
            linewidths=0,
        )
        extend = "both" if low < high else "neither"
        figure.colorbar(dots, label="value of the entry (hyper-return)", extend=extend)
        figure.suptitle(title, fontsize=10)
        axes.set(xlabel="t-SNE of the memory's keys, first axis", ylabel="second axis", xticks=[], yticks=[])


def _schedule_panel(axes: Axes, actions: Columns, name: str) -> None:
    values = windows(actions, name)
    low, high, median, default = values.low, values.high, values.median, values.default
    if DEFINITIONS[name].scale == "log" and (positive := low[low > 0]).size:
        axes.set_yscale("log")
        # A learning rate that decays to 0 would take up the whole axis with its last few values.
        bottom, top = np.quantile(positive, 0.02) / 1.3, high.max() * 1.3
        axes.set_ylim(bottom, top)
        low, high, median, default = (np.maximum(part, bottom / 10) for part in (low, high, median, default))
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if top < 300 * bottom else (1.0,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.minorticks_off()
    else:
        bottom, top = min(low.min(), default.min()), max(high.max(), default.max())
        margin = 0.08 * (top - bottom or abs(top) or 1.0)
        axes.set_ylim(bottom - margin, top + margin)
    offered = np.unique(actions[name])
    if len(offered) <= _TICKS and not np.ptp(default):
        axes.set_yticks(offered, [f"{value:.4g}" for value in offered])
    edges = values.edges
    axes.stairs(high, edges, baseline=low, fill=True, color=_LIGHT, alpha=0.6, label="10 to 90 %")
    axes.stairs(median, edges, baseline=None, color=_DARK, linewidth=1.6, label="median of the values chosen")
    axes.stairs(
        default,
        edges,
        baseline=None,
        color=_DEFAULT_LINE,
        linewidth=1.6,
        linestyle="--",
        label="the task's own value",
    )


def _tsne(keys: NDArray[Any]) -> NDArray[np.float32]:
    # Scikit-learn takes a second to import.
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(keys) - 1) / 3)
    # On a busy machine its threads wait for each other many times longer than one takes alone.
    with threadpool_limits(1):
        points: NDArray[np.float32] = TSNE(perplexity=perplexity, random_state=0).fit_transform(keys)
    return points


@contextmanager
def _figure(path: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure to draw on, which is saved at the end; without pyplot, so that no global state is left."""
    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        with whole_file(path) as temporary:
            figure.savefig(temporary, format="png")


def _environment_steps(axes: Axes) -> None:
    axes.set_xlabel("environment steps")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _marker_size(points: int) -> float:
    return 6.0 if points < 300 else 3.0 if points < 3_000 else 1.5


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="gray")
    axes.set(xticks=[], yticks=[])
