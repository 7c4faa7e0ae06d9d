"""Pictures of a run: learning curve, hyperparameter schedule, map of the memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hyperrl_lab.figure import DARK, LIGHT, OWN, environment_steps, new_figure, say
from hyperrl_lab.references import default_runs
from hyperrl_lab.results import Columns, read_actions, read_episodes
from hyperrl_lab.schedules import schedule
from hyperrl_lab.summaries import SCORE_EPISODES, running_mean

CURVE_FILE, SCHEDULE_FILE, MEMORY_FILE = "learning_curve.png", "schedule.png", "memory.png"
RETURN = "return of an inner episode (undiscounted)"
# What every run has; a memory can have too few keys to be drawn.
PICTURES = (SCHEDULE_FILE, CURVE_FILE)
_MEMORY_POINTS = 2_000
# The smallest number of keys that is drawn.
FEWEST_KEYS = 10
# Joint actions that their colour bar can name.
_NAMED_ACTIONS = 10
# Means of fewer episodes jump.
_FEWEST_EPISODES = 10


def draw_pictures(folder: Path, title: str, memory: Any = None) -> None:
    """Draws the pictures of a run into its folder.

    Args:
        folder: Holds the run's Parquet files. Finished runs with the task's own settings in neighbouring
            folders are drawn as a reference.
        title: Names the run.
        memory: The agent's episodic memory, if it has one.
    """
    if memory is not None:
        memory_map(memory.keys, memory.values, memory.actions, title, folder / MEMORY_FILE)
    # The last: with them all are there.
    schedule(read_actions(folder), title, folder / SCHEDULE_FILE)
    learning_curve(read_episodes(folder), title, folder / CURVE_FILE, default_runs(folder))


def learning_curve(
    episodes: Columns, title: str, path: Path, references: Mapping[int, Columns] | None = None
) -> None:
    """Draws the returns of all inner episodes over environment steps, and their running mean.

    Args:
        episodes: The result of `read_episodes`.
        title: Names the run.
        path: The picture.
        references: The inner episodes of runs with the task's own settings, by seed; thin lines show their
            running means.
    """
    with new_figure(path, (6.0, 3.6)) as figure:
        axes, returns = figure.subplots(), episodes["return"]
        draw_returns(axes, episodes)
        references = references or {}
        seeds = f"seed {next(iter(references))}" if len(references) == 1 else f"{len(references)} seeds"
        for i, reference in enumerate(references.values()):
            label = "_" if i else f"the task's own settings, {seeds}"
            axes.plot(*_mean_curve(reference), color=OWN, linewidth=1, linestyle="--", label=label)
        if len(returns):
            figure.legend(loc="outside lower center", ncols=3, markerscale=2)
        figure.suptitle(title, fontsize=10)
        axes.set_ylabel(RETURN)
        environment_steps(axes)


def draw_returns(axes: Axes, episodes: Columns) -> None:
    """Draws the result of `read_episodes`: every return, and their running mean."""
    steps, returns = episodes["env_steps"], episodes["return"]
    if not len(returns):
        say(axes, "no inner episode ended")
        return
    axes.plot(steps, returns, ".", color=LIGHT, markersize=_marker_size(len(returns)), label="one episode")
    label = f"mean of the last {min(len(returns), SCORE_EPISODES)}"
    axes.plot(*_mean_curve(episodes), color=DARK, linewidth=2, label=label)


def memory_map(
    keys: NDArray[Any], values: NDArray[Any], actions: NDArray[Any], title: str, path: Path
) -> None:
    """Draws the memory's keys as points in the plane (t-SNE), coloured by value, time and action.

    A memory with fewer than ten entries, or with a single key, is not drawn.

    Args:
        keys: (n, d), earliest added first.
        values: (n,).
        actions: Numbers of the joint actions, (n,).
        title: Names the run.
        path: The picture.
    """
    n, time = len(keys), np.arange(1, len(keys) + 1)
    if n > _MEMORY_POINTS:
        some = np.sort(np.random.default_rng(0).choice(n, _MEMORY_POINTS, replace=False))
        keys, values, actions, time = keys[some], values[some], actions[some], time[some]
    if n < FEWEST_KEYS or not np.ptp(keys, axis=0).any():
        return
    points = in_the_plane(keys)
    taken, rank = np.unique(actions, return_inverse=True)
    few = len(taken) <= _NAMED_ACTIONS
    bounds = (-0.5, len(taken) - 0.5) if few else (actions.min(), actions.max())
    low, high = np.percentile(values, [2, 98])
    shuffled = np.random.default_rng(0).permutation(len(keys))
    looks = (
        # The best entries are the rarest: they are drawn on top.
        ("value (hyper-return)", values, np.argsort(values), (low, high), 256),
        ("order of writing (1: the earliest)", time, shuffled, (1, n), 256),
        (
            "number of the joint action",
            rank if few else actions,
            shuffled,
            bounds,
            len(taken) if few else 256,
        ),
    )
    with new_figure(path, (7.5, 3.4)) as figure:
        for axes, (label, colours, order, (least, most), shades) in zip(
            figure.subplots(1, 3), looks, strict=True
        ):
            dots = axes.scatter(
                *points[order].T,
                s=min(12.0, 160 / len(keys) ** 0.5),
                c=colours[order],
                cmap=colormaps["viridis"].resampled(shades),
                vmin=least,
                vmax=most,
                linewidths=0,
            )
            extend = "both" if least < most and colours is values else "neither"
            bar = figure.colorbar(dots, ax=axes, location="bottom", label=label, extend=extend)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color="0.6")
        bar.locator = MaxNLocator(5, integer=True)
        if few:
            bar.set_ticks(range(len(taken)), labels=[str(action) for action in taken])
            bar.minorticks_off()
        figure.suptitle(f"{title}\nthe keys of its memory in the plane (t-SNE)", fontsize=10)


def _mean_curve(episodes: Columns) -> tuple[NDArray[Any], NDArray[np.float64]]:
    mean = running_mean(episodes["return"], SCORE_EPISODES)
    start = _FEWEST_EPISODES - 1 if len(mean) >= 2 * _FEWEST_EPISODES else 0
    steps, mean = episodes["env_steps"][start:], mean[start:]
    # Episodes of several environments end together: one point for all of them.
    latest = np.flatnonzero(np.append(np.diff(steps), 1))
    return steps[latest], mean[latest]


def in_the_plane(keys: NDArray[Any]) -> NDArray[np.float32]:
    """Points in the plane for keys, near each other where the keys are alike (t-SNE); always the same.

    Args:
        keys: (n, d), at least ten, not all equal.

    Returns:
        (n, 2).
    """
    # Scikit-learn takes a second to import.
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(keys) - 1) / 3)
    # On a busy machine its threads wait for each other much longer than one thread would take.
    with threadpool_limits(1):
        points: NDArray[np.float32] = TSNE(perplexity=perplexity, random_state=0).fit_transform(keys)
    return points


def _marker_size(points: int) -> float:
    return 6.0 if points < 300 else 3.0 if points < 3_000 else 1.5
