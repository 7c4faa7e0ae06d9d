"""Learning curves of runs, which are compared at the same environment steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from hyperrl_env.checks import check_at_least
from hyperrl_lab.results import Columns, read_episodes
from hyperrl_lab.summaries import SCORE_EPISODES, running_mean

POINTS = 100


def return_at(episodes: Columns, env_steps: ArrayLike, window: int = SCORE_EPISODES) -> NDArray[np.float64]:
    """The score of a run at any time: the mean return of the last episodes that had ended by then.

    Args:
        episodes: The result of `read_episodes`.
        env_steps: Numbers of environment steps, (points,).
        window: Episodes in a mean; near the start of the run, all so far.

    Returns:
        The means, (points,); NaN before the first episode's end.

    Example:
        >>> episodes = {"env_steps": np.array([10, 20, 20]), "return": np.array([1.0, 2.0, 6.0])}
        >>> return_at(episodes, [5, 10, 25], window=2).tolist()
        [nan, 1.0, 4.0]
    """
    means = np.append(running_mean(episodes["return"], window), np.nan)
    # The place before the first episode is the last one, which is NaN.
    return means[np.searchsorted(episodes["env_steps"], np.asarray(env_steps), side="right") - 1]


def area_under_curve(episodes: Columns, env_steps: int) -> float | None:
    """The mean over environment steps of the score at each, from the first episode's end to the run's.

    Args:
        episodes: The result of `read_episodes`.
        env_steps: Environment steps at the end of the run.

    Returns:
        The mean; None if no episode ended.
    """
    ends = episodes["env_steps"]
    if not len(ends):
        return None
    until = np.diff(ends, append=max(env_steps, ends[-1]))
    means = running_mean(episodes["return"], SCORE_EPISODES)
    return float(np.average(means, weights=until) if until.any() else means[-1])


def curves(
    folder: Path, runs: pa.Table, points: int = POINTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The learning curves of runs at common environment steps.

    Args:
        folder: The folder of the runs, as given to `runs_table`.
        runs: Rows of the result of `runs_table`.
        points: How many environment steps, at equal distances up to the most that a run has reached.

    Returns:
        The environment steps, (points,), and the scores at each, (runs, points): see `return_at`. NaN before
        a run's first episode, after the steps that it has reached, and in a run without readable episodes.
    """
    check_at_least("points", points, 1)
    reached = np.array([steps or 0 for steps in runs["env_steps"].to_pylist()])
    grid = np.linspace(0, reached.max(initial=0), points + 1)[1:]
    scores = np.full((len(reached), points), np.nan)
    for row, name in enumerate(runs["folder"].to_pylist()):
        try:
            scores[row] = return_at(read_episodes(folder / name), grid)
        except (OSError, LookupError, pa.ArrowException):
            continue
    scores[grid > reached[:, None]] = np.nan
    return grid, scores
