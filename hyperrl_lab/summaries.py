"""Many numbers summed up in few: what the pictures show of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyperrl_lab.results import Columns, acting

# Inner episodes in a score, whoever shows it: the command line, `summary.json`, the learning curve.
SCORE_EPISODES = 100
# Windows of a schedule at most, and hyper-actions that make its quantiles mean something.
_WINDOWS, _CHOICES = 200, 40


def running_mean(values: NDArray[Any], window: int) -> NDArray[np.float64]:
    """The mean of the latest `window` values at each place; of those there are, at the beginning.

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
    """The mean over the latest 100 inner episodes, over all if there are fewer; None before the first.

    Args:
        values: One per episode, the latest last: returns, of which the mean is the run's score, or lengths.
    """
    latest = values[-SCORE_EPISODES:]
    return float(np.mean(latest)) if len(latest) else None


@dataclass(frozen=True)
class Windows:
    """A hyperparameter's values in windows of time.

    Attributes:
        edges: Environment steps between the windows, one more than there are windows. A window spans
            the environment phases whose updates it sums up.
        low: 10 % quantile.
        median: Median.
        high: 90 % quantile.
        default: Median of the task's own values.
    """

    edges: NDArray[Any]
    low: NDArray[np.float64]
    median: NDArray[np.float64]
    high: NDArray[np.float64]
    default: NDArray[np.float64]


def windows(actions: Columns, name: str) -> Windows:
    """Sums a hyperparameter up per phase, or per window of several phases.

    There are at most 200 windows, and so few that they hold 40 hyper-actions each, except that
    a run of up to 20 phases is shown phase by phase. What was chosen at the very end of a learning
    rate's fall to 0 is left out, because it made no difference, unless there is nothing else.

    Args:
        actions: What `read_actions` returned, not empty.
        name: The hyperparameter.
    """
    if (acted := acting(actions)).any():
        actions = {column: values[acted] for column, values in actions.items()}
    phases = actions["phase"] - actions["phase"][0]
    n_phases = int(phases[-1]) + 1
    most = min(_WINDOWS, max(len(phases) // _CHOICES, min(n_phases, 20)))
    starts = np.flatnonzero(np.diff(phases // -(-n_phases // most), prepend=-1))

    def per_window(values: NDArray[Any], quantiles: list[float]) -> NDArray[np.float64]:
        parts = np.split(values, starts[1:])
        # Quantiles that are among the values: between two bins there is nothing to choose.
        return np.array([np.quantile(part, quantiles, method="inverted_cdf") for part in parts])

    low, median, high = per_window(actions[name], [0.1, 0.5, 0.9]).T
    default = per_window(actions[f"default.{name}"], [0.5])[:, 0]
    edges = np.array([0, *(part[-1] for part in np.split(actions["env_steps"], starts[1:]))])
    return Windows(edges, low, median, high, default)
