"""Statistics of a run: what its pictures show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyperrl_lab.results import Columns, acting

# Inner episodes in a score: on the command line, in `summary.json`, in the learning curve.
SCORE_EPISODES = 100
# The most windows in a schedule, and the fewest hyper-actions that give meaningful shares and quantiles.
WINDOWS, _CHOICES = 200, 40


def running_mean(values: NDArray[Any], window: int) -> NDArray[np.float64]:
    """The mean of the last `window` values at each place; near the start, of all values so far.

    Example:
        >>> running_mean(np.array([1.0, 3.0, 5.0]), window=2).tolist()
        [1.0, 2.0, 4.0]
    """
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def score(values: Sequence[float]) -> float | None:
    """The mean over the last 100 inner episodes, or over all if there are fewer; None before the first.

    Args:
        values: One per episode, the latest last: returns, whose mean is the run's score, or lengths.
    """
    latest = values[-SCORE_EPISODES:]
    return float(np.mean(latest)) if len(latest) else None


@dataclass(frozen=True)
class Shares:
    """How often each value of a hyperparameter was chosen, in windows of time.

    Attributes:
        edges: Environment steps at the windows' edges, (windows + 1,). A window spans the environment
            phases whose updates it counts.
        levels: The values chosen and the task's own value, ascending, (levels,), or multiples of the
            task's own value.
        relative: Whether the levels are multiples. They are if the task's own value changes and fewer
            multiples than values of it were chosen.
        own: Row of the task's own value, which is one level even if it changes.
        moves: Whether the task's own value changes while the other levels do not; its level is its first
            value.
        share: Fractions of the updates, (levels, windows); NaN in a window without a choice, because all
            multiples of a task's own value of 0 are 0.
    """

    edges: NDArray[Any]
    levels: NDArray[np.float64]
    relative: bool
    own: int
    moves: bool
    share: NDArray[np.float64]


def shares(actions: Columns, name: str, most: int = WINDOWS) -> Shares:
    """Counts the choices of a hyperparameter per phase, or per window of several phases.

    Choices at a learning rate of 0 had no effect and are left out, unless there are no others.

    Args:
        actions: The result of `read_actions`, not empty.
        name: The hyperparameter.
        most: The most windows.
    """
    values, default, starts, edges = _in_windows(actions, name, most)
    levels, level = _distinct(np.append(values, default[0]))
    level, own = level[:-1], int(level[-1])
    relative, moves, counted = False, bool(np.ptp(default)), np.ones(len(values), bool)
    if moves:
        positive = default > 0
        multiples, multiple = _distinct(np.append(values[positive] / default[positive], 1.0))
        others = values != default
        if relative := len(multiples) <= len(np.unique(values[others])) + 1:
            levels, own, moves, counted = multiples, int(multiple[-1]), False, positive
            level = np.zeros(len(values), np.intp)
            level[positive] = multiple[:-1]
        else:
            # The task's own value moves among constant ones; its row stays at its first value.
            levels, level_of_others = _distinct(values[others])
            own = int(np.searchsorted(levels, default[0]))
            level = np.full(len(values), own)
            level[others] = level_of_others + (level_of_others >= own)
            levels = np.insert(levels, own, default[0])
    counts = np.zeros((len(levels), len(starts)))
    window = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(values)))
    np.add.at(counts, (level[counted], window[counted]), 1)
    with np.errstate(invalid="ignore"):
        return Shares(edges, levels, relative, own, moves, counts / counts.sum(axis=0))


@dataclass(frozen=True)
class Quantiles:
    """A hyperparameter's values in windows of time.

    Attributes:
        edges: See `Shares`.
        relative: Whether all values here are multiples of the task's own value. They are if the task's own
            value changes and the multiples lie closer together than the values.
        low: 10 % quantile; like the others, NaN in a window in which the task's own value is 0.
        median: Median.
        high: 90 % quantile.
        mean: Geometric mean, as fits multiples; the arithmetic one if a value is not positive.
        default: Median of the task's own values.
    """

    edges: NDArray[Any]
    relative: bool
    low: NDArray[np.float64]
    median: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    default: NDArray[np.float64]


def quantiles(actions: Columns, name: str, most: int = WINDOWS, *, multiples: bool = True) -> Quantiles:
    """The quantiles of a hyperparameter's choices per phase, or per window of several phases.

    They are those of the choices that `shares` counts.

    Args:
        actions: The result of `read_actions`, not empty.
        name: The hyperparameter.
        most: The most windows.
        multiples: Whether they may be multiples of the task's own value; see `Quantiles`.
    """
    values, default, starts, edges = _in_windows(actions, name, most)
    relative = False
    positive = (values > 0) & (default > 0)
    if multiples and np.ptp(default) and positive.any():
        factors = values[positive] / default[positive]
        if relative := bool(_factor(factors) < _factor(values[positive])):
            values = np.divide(values, default, out=np.full(len(values), np.nan), where=positive)
            default = np.ones(len(values))

    def per_window(column: NDArray[Any], parts: list[float]) -> NDArray[np.float64]:
        known = [part[~np.isnan(part)] for part in np.split(column, starts[1:])]
        nothing = np.full(len(parts), np.nan)
        # Quantiles that are among the values: nothing between two bins can be chosen.
        return np.array(
            [np.quantile(part, parts, method="inverted_cdf") if len(part) else nothing for part in known]
        )

    low, median, high = per_window(values, [0.1, 0.5, 0.9]).T
    mean = _window_means(values, starts)
    return Quantiles(edges, relative, low, median, high, mean, per_window(default, [0.5])[:, 0])


def _window_means(values: NDArray[Any], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    geometric = bool((values[known] > 0).all())
    summands = np.log(values, where=known, out=np.zeros(len(values))) if geometric else values
    sums, counts = (
        np.add.reduceat(column, starts) for column in (np.where(known, summands, 0.0), known * 1.0)
    )
    means: NDArray[np.float64] = np.divide(sums, counts, out=np.full(len(starts), np.nan), where=counts > 0)
    return np.exp(means) if geometric else means


def _in_windows(
    actions: Columns, name: str, most: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp], NDArray[Any]]:
    """The values of the choices with an effect, the task's own, and what `_windows` returns for them."""
    acted = acting(actions)
    if acted.any():
        actions = {column: values[acted] for column, values in actions.items()}
    return actions[name], actions[f"default.{name}"], *_windows(actions, most)


def _windows(actions: Columns, most: int) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """The first row of each window, and the environment steps at the windows' edges.

    There are at most so many windows, of at least 40 hyper-actions each, but a run of up to 20 phases is
    shown phase by phase.
    """
    phases = actions["phase"] - actions["phase"][0]
    n_phases = int(phases[-1]) + 1
    most = min(most, max(len(phases) // _CHOICES, min(n_phases, 20)))
    starts = np.flatnonzero(np.diff(phases // -(-n_phases // most), prepend=-1))
    edges = np.array([0, *(part[-1] for part in np.split(actions["env_steps"], starts[1:]))])
    return starts, edges


def _distinct(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The distinct values, ascending, and the index of each; values that agree in six digits are equal."""
    exact, which = np.unique(values, return_inverse=True)
    levels, level = np.unique([float(f"{value:.6g}") for value in exact], return_inverse=True)
    return levels, level[which]


def _factor(values: NDArray[Any]) -> float:
    return float(values.max() / values.min())
