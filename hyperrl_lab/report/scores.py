"""The scores of a report's methods, with their intervals, and how any two methods compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hyperrl_lab.studies.comparison import Group, grouped, mixed_tasks
from hyperrl_lab.studies.statistics import Estimate, estimate, iqm, median, probability_of_improvement

Values = dict[str, Any]
# The result of such a run stands; all others may yet change.
ENDED = ("finished", "diverged")
# A comparison takes some hundredths of a second: of more methods, only these by only the first score.
_FEW_METHODS, _MOST_METHODS = 12, 40


@dataclass(frozen=True)
class Score:
    """A metric of `grouped`: the more, the better."""

    metric: str
    name: str
    about: str
    unit: str = "return"


SCORES = (
    Score("mean_last_100", "last 100 episodes", "Mean return of the last 100 training episodes."),
    Score("mean_last_10", "last 10 episodes", "Mean return of the last 10 training episodes."),
    Score(
        "best_100", "best 100 episodes", "The highest mean return of 100 training episodes one after another."
    ),
    Score(
        "area",
        "mean over training",
        "The score at any time, averaged over the training (area under the curve).",
    ),
    Score("evaluation_mean", "evaluation", "Mean return of deterministic episodes of the final policy."),
)


def known_scores(runs: pa.Table) -> list[Score]:
    """The scores that some run has."""
    return [score for score in SCORES if runs[score.metric].null_count < len(runs)]


def gather_groups(runs: pa.Table, scores: Sequence[Score]) -> list[Values]:
    """The runs of each task, budget and method: their costs, and statistics of each score over ended runs."""
    by_score = [grouped(runs, score.metric) for score in scores]
    rows = runs.to_pylist()
    return [_group(groups, rows) for groups in zip(*by_score, strict=True)]


def _group(groups: Sequence[Group], rows: Sequence[Values]) -> Values:
    key = groups[0].task, groups[0].budget, groups[0].method
    own = [row for row in rows if (row["task"], row["budget"], row["method"]) == key]
    return {
        "task": groups[0].task,
        "budget": groups[0].budget,
        "method": groups[0].method,
        "runs": len(own),
        "ended": sum(row["status"] in ENDED for row in own),
        "diverged": sum(row["status"] == "diverged" for row in own),
        "refused": sum(row["diverged_steps"] or 0 for row in own),
        "env_steps": sum(row["env_steps"] or 0 for row in own),
        "extra_env_steps": sum(row["extra_env_steps"] or 0 for row in own),
        "seconds": sum(row["seconds"] or 0.0 for row in own),
        "scores": [_statistics(group) for group in groups],
    }


def _statistics(group: Group) -> Values:
    values = group.values
    found = {"seeds": list(group.scores), "values": values.tolist()}
    if not len(values):
        return found | dict.fromkeys(("mean", "low", "high", "iqm", "median"))
    middle = {"iqm": float(iqm(values[:, None])), "median": float(median(values[:, None]))}
    return found | _interval("mean", estimate(values, "mean")) | middle


def _interval(name: str, found: Estimate) -> Values:
    low, high = (None if edge is None else float(edge) for edge in (found.low, found.high))
    return {name: float(found.value), "low": low, "high": high}


def gather_comparisons(
    runs: pa.Table, scores: Sequence[Score], methods: Sequence[str], step: Callable[[float], None]
) -> list[Values]:
    """Every two methods, by every score, on each task, and on all tasks that both have ended runs of.

    Runs of different budgets are not compared, and a task with such runs is left out of all tasks together.
    With more than twelve methods, only the first score is compared, and only the first forty methods are.

    Returns:
        Rows; `task` is None for all tasks together.
    """
    pairs = list(combinations(methods[:_MOST_METHODS], 2))
    compared = scores if len(methods) <= _FEW_METHODS else scores[:1]
    rows: list[Values] = []
    for number, score in enumerate(compared):
        found = grouped(runs, score.metric)
        groups = {(group.task, group.budget, group.method): group for group in found}
        mixed = mixed_tasks(found)
        for done, (a, b) in enumerate(pairs):
            step((number + done / len(pairs)) / len(compared))
            both = [
                (group, groups[task, budget, b])
                for (task, budget, method), group in groups.items()
                if method == a and len(group.scores) and (task, budget, b) in groups
            ]
            both = [pair for pair in both if len(pair[1].scores)]
            common = {"score": number, "a": a, "b": b}
            alike = [pair for pair in both if pair[0].task not in mixed]
            if len(alike) > 1 and (together := _together(alike)):
                rows.append(common | together)
            rows += [common | _on_a_task(*pair) for pair in both]
    return rows


def _on_a_task(first: Group, second: Group) -> Values:
    means = float(first.values.mean()), float(second.values.mean())
    return {
        "task": first.task,
        "budget": first.budget,
        **_interval("probability", probability_of_improvement(first.values, second.values)),
        "mean_a": means[0],
        "mean_b": means[1],
        "difference": means[0] - means[1],
        "n_a": len(first.scores),
        "n_b": len(second.scores),
    }


def _together(both: Sequence[tuple[Group, Group]]) -> Values | None:
    """All tasks at once, with equal weights; of each method, the seeds that have ended on all of them."""
    first, second = (_table([pair[side] for pair in both]) for side in (0, 1))
    if not len(first) or not len(second):
        return None
    return {
        "task": None,
        "budget": None,
        **_interval("probability", probability_of_improvement(first, second)),
        # Returns of different tasks have no mean in common.
        **dict.fromkeys(("mean_a", "mean_b", "difference")),
        "n_a": len(first),
        "n_b": len(second),
    }


def _table(groups: Sequence[Group]) -> NDArray[np.float64]:
    """(seeds, tasks)."""
    seeds = sorted(set.intersection(*(set(group.scores) for group in groups)))
    return np.array([[group.scores[seed] for group in groups] for seed in seeds], np.float64)
