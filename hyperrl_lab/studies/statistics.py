"""Statistics of scores over seeds and tasks, with rliable.

Its paper is Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice".

Scores are arrays of shape (runs, tasks), or (runs, tasks, points); those of several tasks are normalised
(see `reference_scores`). Intervals are percentile intervals of 95 % of a bootstrap that resamples the runs of
each task. They are the same whenever they are computed, and no global generator is disturbed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hyperrl_env.checks import check_choice
from hyperrl_env.numeric.random_state import RandomState

# An interval of fewer runs would look like knowledge.
FEWEST_SEEDS = 5
REPETITIONS = 2_000
_SEED = 0
# Of the largest score: equal scores can have a mean that differs from them by some last digits.
_ROUNDING = 1e-12
Floats = NDArray[np.float64]


def iqm(scores: Floats) -> Any:
    """The interquartile mean: of the runs of all tasks without the lowest and highest quarter.

    Args:
        scores: (runs, tasks, ...).

    Returns:
        A number, or an array for the axes after the second.

    Example:
        >>> float(iqm(np.array([[0.0], [1.0], [2.0], [99.0]])))
        1.5
    """
    runs = np.sort(scores.reshape(-1, *scores.shape[2:]), axis=0)
    quarter = len(runs) // 4
    return runs[quarter : len(runs) - quarter].mean(axis=0)


def median(scores: Floats) -> Any:
    """The median of the runs of one task; of the tasks' means if there are several, as in rliable."""
    return np.median(scores if scores.shape[1] == 1 else scores.mean(axis=0, keepdims=True), axis=(0, 1))


def mean(scores: Floats) -> Any:
    """The mean of the tasks' means."""
    return scores.mean(axis=(0, 1))


STATISTICS: Mapping[str, Callable[[Floats], Any]] = {"iqm": iqm, "median": median, "mean": mean}


@dataclass(frozen=True)
class Estimate:
    """A statistic and its interval.

    Attributes:
        value: The statistic; a number, or an array with one per point.
        low: The interval's lower end. None: there are too few runs for an interval.
        high: The interval's upper end, likewise.
        seeds: The runs per task that it rests on.
    """

    value: Any
    low: Any
    high: Any
    seeds: int


def estimate(scores: ArrayLike, statistic: str = "iqm") -> Estimate:
    """A statistic of scores, with its interval if there are at least five runs.

    Args:
        scores: (runs,) of one task, (runs, tasks), or (runs, tasks, points) for a statistic of each point.
        statistic: A name of `STATISTICS`.

    Raises:
        ValueError: An unknown statistic, or scores that are missing or not finite.
    """
    check_choice("statistic", statistic, tuple(STATISTICS))
    return _estimate(STATISTICS[statistic], _checked(scores))


def probability_of_improvement(scores: ArrayLike, baseline: ArrayLike) -> Estimate:
    """How likely a run is to beat a run of the baseline on the same task; a tie is half a win.

    It is P(X > Y) + P(X = Y) / 2, averaged over the tasks (Agarwal et al. 2021, Section 4.2).

    Args:
        scores: (runs,) or (runs, tasks).
        baseline: The baseline's, with as many tasks but as many runs as it has.

    Raises:
        ValueError: Different numbers of tasks, or scores that are missing or not finite.
    """
    ours, theirs = _checked(scores), _checked(baseline)
    if ours.shape[1] != theirs.shape[1]:
        raise ValueError(f"Scores of {ours.shape[1]} and of {theirs.shape[1]} tasks cannot be compared.")
    return _estimate(_wins, ours, theirs)


def _wins(ours: Floats, theirs: Floats) -> Any:
    beaten = [
        (np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right")) / 2
        for own, ordered in zip(ours.T, np.sort(theirs, axis=0).T, strict=True)
    ]
    return np.mean(beaten) / len(theirs)


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> Estimate:
    """The share of runs, over all tasks, whose score is above each threshold.

    Args:
        scores: (runs,) or (runs, tasks).
        thresholds: (points,).

    Returns:
        Arrays with a share per threshold.

    Raises:
        ValueError: Scores that are missing or not finite.
    """
    levels = np.asarray(thresholds, dtype=float)
    return _estimate(lambda scores: np.mean(scores[..., None] > levels, axis=(0, 1)), _checked(scores))


def cohens_d(scores: ArrayLike, baseline: ArrayLike) -> float:
    """Cohen's effect size: the difference of the means in units of the pooled standard deviation.

    d = (m1 - m2) / s, with s^2 = ((n1 - 1) s1^2 + (n2 - 1) s2^2) / (n1 + n2 - 2). The paper calls a result
    better if d > 0.5 (its Table 1).

    Args:
        scores: (runs,).
        baseline: (runs,).

    Returns:
        d; NaN if either has fewer than two runs, or if no scores of a method differ by more than rounding.
    """
    ours, theirs = np.asarray(scores, dtype=float), np.asarray(baseline, dtype=float)
    n, m = len(ours), len(theirs)
    if min(n, m) < 2:
        return math.nan
    spread = math.sqrt(((n - 1) * ours.var(ddof=1) + (m - 1) * theirs.var(ddof=1)) / (n + m - 2))
    rounding = _ROUNDING * np.abs(np.concatenate([ours, theirs])).max()
    return float((ours.mean() - theirs.mean()) / spread) if spread > rounding else math.nan


def _checked(scores: ArrayLike) -> Floats:
    array = np.asarray(scores, dtype=float)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim < 2 or not array.size or not np.isfinite(array).all():
        raise ValueError("Scores must be finite numbers, at least one per task.")
    return array


def _estimate(function: Callable[..., Any], *samples: Floats) -> Estimate:
    """A function of samples that are resampled apart from each other."""
    seeds, value = min(len(sample) for sample in samples), function(*samples)
    value = value if np.ndim(value) else float(value)
    if seeds < FEWEST_SEEDS:
        return Estimate(value, None, None, seeds)
    # It takes two seconds to import, and few seeds do without.
    from rliable import library

    # It draws from NumPy's global generator.
    with RandomState(_SEED).swapped_in():
        _, found = library.get_interval_estimates(
            {"": samples[0] if len(samples) == 1 else list(samples)},
            lambda *resampled: np.atleast_1d(function(*resampled)),
            reps=REPETITIONS,
        )
    low, high = found[""] if np.ndim(value) else found[""][:, 0].tolist()
    return Estimate(value, low, high, seeds)
