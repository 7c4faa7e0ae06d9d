"""The learning curves of a report: every run's, and their means over seeds, thinned to what can be seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hyperrl_lab.report.numbers import compact
from hyperrl_lab.report.scores import ENDED, Values
from hyperrl_lab.results import Columns, read_episodes
from hyperrl_lab.studies.curves import return_at
from hyperrl_lab.studies.statistics import estimate
from hyperrl_lab.summaries import SCORE_EPISODES

# Points of a curve, and of all curves of a metric: with a thousand runs the page still opens at once.
_POINTS, _ALL_POINTS, _FEWEST_POINTS = 500, 500_000, 50
Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """What a curve shows: the mean of a column of `read_episodes` over the last 100 episodes."""

    column: str
    name: str
    unit: str

    @property
    def about(self) -> str:
        """What the page says of it."""
        return f"Mean {self.name} of the last {SCORE_EPISODES} inner episodes."


METRICS = (Metric("return", "return", "return"), Metric("length", "episode length", "environment steps"))


def gather_curves(
    folder: Path,
    rows: Sequence[Values],
    groups: Sequence[Values],
    tasks: Sequence[str],
    step: Callable[[float], None],
) -> Values:
    """The curves of every metric, by run and by group.

    A run's curve ends where the run does. A group's is the mean over its ended runs, as far as all of them
    have come; the policy of a diverged run no longer changes, so its curve goes on at its last value.

    Args:
        folder: The folder of the runs.
        rows: Those of `runs_table`.
        groups: The result of `gather_groups`.
        tasks: Names of the tasks.
        step: Called with the part that is done.

    Returns:
        `metrics`; `steps` by task; `runs[metric][run]` and `groups[metric][group]`, None where there is none.
    """
    grids = {task: _grid(rows, task) for task in tasks}
    found: list[list[Curve | None]] = [[] for _ in METRICS]
    for number, row in enumerate(rows):
        step(number / len(rows))
        for metric, curve in zip(found, _curves(folder / row["folder"], row, grids), strict=True):
            metric.append(curve)
    return {
        "metrics": [{"name": metric.name, "unit": metric.unit, "about": metric.about} for metric in METRICS],
        "steps": [grid.tolist() for grid in grids.values()],
        "runs": [[None if curve is None else compact(curve) for curve in metric] for metric in found],
        "groups": [[_mean(rows, metric, group) for group in groups] for metric in found],
    }


def _grid(rows: Sequence[Values], task: str) -> NDArray[np.int64]:
    reached = max(row["env_steps"] or 0 for row in rows if row["task"] == task)
    points = min(_POINTS, max(_FEWEST_POINTS, _ALL_POINTS // len(rows)), max(reached, 1))
    return np.linspace(0, reached, points + 1)[1:].astype(np.int64)


def _curves(folder: Path, row: Values, grids: Mapping[str, NDArray[np.int64]]) -> list[Curve | None]:
    try:
        episodes = read_episodes(folder)
        curves = [_curve(episodes, metric, grids[row["task"]], row["env_steps"] or 0) for metric in METRICS]
    except (OSError, LookupError, pa.ArrowException):
        return [None for _ in METRICS]
    return [curve if np.isfinite(curve).any() else None for curve in curves]


def _curve(episodes: Columns, metric: Metric, grid: NDArray[np.int64], reached: int) -> Curve:
    column = {"env_steps": episodes["env_steps"], "return": episodes[metric.column]}
    return np.where(grid > reached, np.nan, return_at(column, grid))


def _mean(rows: Sequence[Values], curves: Sequence[Curve | None], group: Values) -> dict[str, Any] | None:
    members: dict[int, Curve] = {}
    for row, curve in zip(rows, curves, strict=True):
        own = all(row[key] == group[key] for key in ("task", "budget", "method"))
        if own and curve is not None and row["status"] in ENDED:
            members.setdefault(row["seed"], _continued(curve) if row["status"] == "diverged" else curve)
    if not members:
        return None
    together = np.array(list(members.values()))
    parts = {"mean": together.mean(axis=0), "lowest": together.min(axis=0), "highest": together.max(axis=0)}
    known = np.isfinite(together).all(axis=0)
    found = estimate(together[:, None, known], "mean") if known.any() else None
    if found is not None and found.low is not None:
        parts |= {name: np.full(len(known), np.nan) for name in ("low", "high")}
        parts["low"][known], parts["high"][known] = found.low, found.high
    return {name: compact(part) for name, part in parts.items()}


def _continued(curve: Curve) -> Curve:
    last = np.flatnonzero(np.isfinite(curve))[-1]
    return np.where(np.arange(len(curve)) > last, curve[last], curve)
