"""The hyperparameter schedules of a report: what every run chose, in windows of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from hyperrl_env import DEFINITIONS
from hyperrl_lab.report.numbers import significant
from hyperrl_lab.report.scores import Values
from hyperrl_lab.results import Columns, chosen_hyperparameters, read_actions
from hyperrl_lab.schedules import UNITS
from hyperrl_lab.summaries import Quantiles, Shares, quantiles, shares

# Windows of a run, and of all runs together; a run has at least so many.
_WINDOWS, _ALL_WINDOWS, _FEWEST_WINDOWS = 100, 5_000, 20
# Levels that shares can show apart.
_LEVELS = 24


def gather_schedules(folder: Path, rows: Sequence[Values], step: Callable[[float], None]) -> list[Values]:
    """The schedule of every run that has recorded choices; `run` is its index."""
    most = min(_WINDOWS, max(_FEWEST_WINDOWS, _ALL_WINDOWS // len(rows)))
    found = []
    for number, row in enumerate(rows):
        step(number / len(rows))
        if row["task"] is None:
            continue
        try:
            schedule = _schedule(read_actions(folder / row["folder"]), most)
        except (OSError, LookupError, ValueError, pa.ArrowException):
            continue
        if schedule is not None:
            found.append({"run": number, **schedule})
    return found


def _schedule(actions: Columns, most: int) -> Values | None:
    names = chosen_hyperparameters(actions)
    if not names or not len(actions["phase"]):
        return None
    parts = [_Part(actions, name, most) for name in names]
    return {"edges": parts[0].values.edges.tolist(), "parameters": [part.plain() for part in parts]}


class _Part:
    """One hyperparameter of a schedule."""

    def __init__(self, actions: Columns, name: str, most: int) -> None:
        self._name, own = name, actions[f"default.{name}"]
        self._bounds = own[[0, -1]]
        self.values = quantiles(actions, name, most, multiples=False)
        self._multiples = quantiles(actions, name, most)
        component = actions.get(f"action.{name}")
        from_a_range = component is not None and component.dtype.kind == "f"
        self._shares = None if from_a_range else shares(actions, name, most)

    def plain(self) -> Values:
        """Plain values, ready for JSON."""
        start, end = significant(self._bounds)
        found = self._shares
        shown = found is not None and len(found.levels) <= _LEVELS
        return {
            "name": self._name,
            "unit": UNITS.get(self._name, ""),
            "start": start,
            "end": end,
            "log": DEFINITIONS[self._name].scale == "log" and bool((self.values.low > 0).all()),
            "values": _quantiles(self.values),
            "multiples": _quantiles(self._multiples) if self._multiples.relative else None,
            **(_shares(found) if found is not None and shown else {"shares": None}),
        }


def _quantiles(found: Quantiles) -> Values:
    parts = {"low": found.low, "mean": found.mean, "high": found.high, "own": found.default}
    return {name: significant(part) for name, part in parts.items()}


def _shares(found: Shares) -> Values:
    levels = significant(found.levels)
    return {
        "levels": levels,
        "own_level": levels[found.own],
        "relative": found.relative,
        "moves": found.moves,
        "shares": [
            [None if np.isnan(share) else round(share, 3) for share in row.tolist()] for row in found.share
        ],
    }
