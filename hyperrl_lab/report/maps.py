"""The maps of a report: the keys of memories in the plane, with what was chosen there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hyperrl_lab.plots import FEWEST_KEYS, in_the_plane
from hyperrl_lab.report.numbers import compact, significant
from hyperrl_lab.report.scores import Values
from hyperrl_lab.results import ENTRIES_FILE, Columns, chosen_hyperparameters, read_actions, read_columns
from hyperrl_lab.summaries import shares

# A map takes some seconds.
_POINTS, _MAPS = 1_000, 6


def gather_maps(folder: Path, rows: Sequence[Values], step: Callable[[float], None]) -> list[Values]:
    """The maps of some runs with a memory: one of every task and method first, then further seeds."""
    candidates = [n for n, row in enumerate(rows) if (folder / row["folder"] / ENTRIES_FILE).is_file()]
    seen: dict[tuple[Any, Any], int] = {}
    rank = {}
    for number in candidates:
        key = rows[number]["task"], rows[number]["method"]
        rank[number] = seen[key] = seen.get(key, -1) + 1
    found: list[Values] = []
    for done, number in enumerate(sorted(candidates, key=lambda n: (rank[n], n))[:_MAPS]):
        step(done / min(len(candidates), _MAPS))
        try:
            place = folder / rows[number]["folder"]
            points = _map(read_columns(place / ENTRIES_FILE), read_actions(place))
        except (OSError, LookupError, ValueError, pa.ArrowException):
            continue
        if points is not None:
            found.append({"run": number, **points})
    return found


def _map(entries: Columns, actions: Columns) -> Values | None:
    keys = np.stack([column for name, column in entries.items() if name.startswith("key_")], axis=1)
    total = len(keys)
    if total < FEWEST_KEYS or not np.ptp(keys, axis=0).any():
        return None
    some = np.arange(total)
    if total > _POINTS:
        some = np.sort(np.random.default_rng(0).choice(total, _POINTS, replace=False))
    x, y = in_the_plane(keys[some]).T
    value, taken = entries["value"][some], entries["action"][some]
    return {
        "total": total,
        "x": compact(x),
        "y": compact(y),
        "value": compact(value),
        # Some values lie far off; the colours show the others.
        "bounds": significant(np.percentile(value, [2, 98])),
        "time": (some + 1).tolist(),
        "action": taken.tolist(),
        "parameters": _chosen(taken, actions),
    }


def _chosen(taken: NDArray[Any], actions: Columns) -> list[Values]:
    """What the joint actions set, hyperparameter by hyperparameter, as the run's record shows it."""
    if "action" not in actions:
        return []
    found = []
    for name in chosen_hyperparameters(actions):
        values, own = actions[name], actions[f"default.{name}"]
        effective = own > 0
        relative = shares(actions, name).relative
        if relative:
            values = np.divide(values, own, out=np.full(len(values), np.nan), where=effective)
        known, first = np.unique(actions["action"][effective], return_index=True)
        meaning = dict(zip(known.tolist(), significant(values[effective][first]), strict=True))
        levels = [meaning.get(action) for action in taken.tolist()]
        found.append({"name": name, "relative": relative, "values": levels})
    return found
