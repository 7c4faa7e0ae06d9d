"""Methods compared: on each task by their seeds, and over all tasks by normalised scores.

Runs that have not ended are left out, and runs of different budgets are never compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hyperrl_env.checks import check_choice
from hyperrl_lab.ids import id_kwargs
from hyperrl_lab.studies.reference_scores import REFERENCE_SCORES, ReferenceScores
from hyperrl_lab.studies.statistics import (
    FEWEST_SEEDS,
    STATISTICS,
    Estimate,
    cohens_d,
    estimate,
    probability_of_improvement,
)

METRICS = ("mean_last_100", "mean_last_10", "best_100", "area", "evaluation_mean")
ENDED = ("finished", "diverged")


@dataclass(frozen=True)
class Group:
    """The runs of a method on a task with one budget.

    Attributes:
        task: The task's name.
        id: The environment's id.
        method: The method's name.
        budget: Environment steps that each was given.
        scores: The scores of the runs that have ended, by seed.
        open: Number of runs that have not ended, or that have no score.
        repeated: Number of runs whose seed another run of the group has; they are left out.
        extra_env_steps: The most environment steps that a run's agent, or search, spent beside the budget.
    """

    task: str
    id: str
    method: str
    budget: int
    scores: Mapping[int, float]
    open: int = 0
    repeated: int = 0
    extra_env_steps: int = 0

    @property
    def values(self) -> NDArray[np.float64]:
        """The scores, (runs,)."""
        return np.array(list(self.scores.values()), dtype=float)


def grouped(runs: pa.Table, metric: str = METRICS[0]) -> list[Group]:
    """The runs of a table by task, id, budget and method, in the order of their first appearance.

    Args:
        runs: The result of `runs_table`.
        metric: The column that is a run's score, one of `METRICS`.

    Raises:
        ValueError: An unknown metric.
    """
    check_choice("metric", metric, METRICS)
    # A damaged run has no id; a configuration that nothing has begun can lack a budget.
    rows = [row for row in runs.to_pylist() if row["id"] is not None and row["budget"] is not None]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    alike: dict[tuple[str, str, int, str], list[dict[str, Any]]] = {}
    for row in rows:
        alike.setdefault((row["task"], row["id"], row["budget"], row["method"]), []).append(row)
    groups = []
    for key, own in sorted(alike.items(), key=lambda item: tasks.index(item[0][0])):
        task, id_, budget, method = key
        ended = [row for row in own if row["status"] in ENDED and row[metric] is not None]
        scores = {row["seed"]: row[metric] for row in reversed(ended)}
        groups.append(
            Group(
                *(task, id_, method, budget),
                scores=dict(sorted(scores.items())),
                open=len(own) - len(ended),
                repeated=len(ended) - len(scores),
                extra_env_steps=max((row["extra_env_steps"] or 0 for row in ended), default=0),
            )
        )
    return groups


@dataclass(frozen=True)
class Compared:
    """A method on a task, beside the baseline.

    Attributes:
        group: Its runs.
        estimate: The statistic of their scores. None: no run has ended.
        std: Their standard deviation; None below two runs.
        improvement: See `probability_of_improvement`. None: it is the baseline, or one of both has no runs.
        effect: See `cohens_d`; None likewise, and where it is not defined.
    """

    group: Group
    estimate: Estimate | None
    std: float | None
    improvement: Estimate | None
    effect: float | None


def compare(groups: Sequence[Group], baseline: str | None = None, statistic: str = "iqm") -> list[Compared]:
    """Compares each group with the baseline's of the same task and budget.

    Args:
        groups: The result of `grouped`.
        baseline: The baseline's name. None: nothing is compared.
        statistic: A name of `STATISTICS`.

    Raises:
        ValueError: An unknown baseline or statistic.
    """
    _check_baseline(groups, baseline)
    found = []
    for group in groups:
        values = group.values
        base = [
            other.values
            for other in groups
            if (other.method, other.task, other.id, other.budget)
            == (baseline, group.task, group.id, group.budget)
            and group.method != baseline
            and len(other.scores)
        ]
        both = bool(base) and len(values) > 0
        effect = cohens_d(values, base[0]) if both else np.nan
        found.append(
            Compared(
                group=group,
                estimate=estimate(values, statistic) if len(values) else None,
                std=float(values.std(ddof=1)) if len(values) > 1 else None,
                improvement=probability_of_improvement(values, base[0]) if both else None,
                effect=None if np.isnan(effect) else effect,
            )
        )
    return found


def left_out(compared: Sequence[Compared]) -> Iterator[str]:
    """What a table of `compare` does not show: what it leaves out, and what a method spends beside it."""
    groups = [found.group for found in compared]
    if left := sum(group.open for group in groups):
        are, they, have = ("is", "it", "has") if left == 1 else ("are", "they", "have")
        yield f"{left} of the runs {are} not compared: {they} {have} not ended, or {have} no score"
    if left := sum(group.repeated for group in groups):
        are, their = ("is", "its") if left == 1 else ("are", "their")
        yield f"{left} of the runs {are} not compared: another run has {their} task, method and seed"
    for group in groups:
        if extra := group.extra_env_steps:
            yield f"{group.method} on {group.task} spends up to {extra:,} env steps per run beside its budget"
    few = sorted({len(group.scores) for group in groups if 0 < len(group.scores) < FEWEST_SEEDS})
    if few:
        seeds = "1 seed" if few == [1] else f"{' or '.join(map(str, few))} seeds"
        yield f"{seeds}: no interval, which takes {FEWEST_SEEDS}"


def mixed_tasks(groups: Sequence[Group]) -> dict[str, str]:
    """The tasks with runs of several budgets or environments, each with what its runs differ in.

    Such runs are not compared with each other, nor the task with others.
    """
    found = {}
    for task in dict.fromkeys(group.task for group in groups):
        own = [group for group in groups if group.task == task]
        budgets = sorted({group.budget for group in own})
        ids = list(dict.fromkeys(group.id for group in own))
        of_budgets = f"budget ({', '.join(f'{budget:,}' for budget in budgets)} env steps)"
        of_ids = f"environment ({', '.join(ids)})"
        if differing := [of_budgets] * (len(budgets) > 1) + [of_ids] * (len(ids) > 1):
            found[task] = " and ".join(differing)
    return found


@dataclass(frozen=True)
class OverTasks:
    """A method over several tasks, by normalised scores.

    Attributes:
        method: Its name.
        estimates: By the names of `STATISTICS`.
        improvement: See `Compared`; the mean over the tasks.
    """

    method: str
    estimates: Mapping[str, Estimate]
    improvement: Estimate | None


def over_tasks(
    groups: Sequence[Group],
    baseline: str | None = None,
    references: Mapping[str, ReferenceScores] | None = None,
) -> tuple[list[OverTasks], list[str], list[str]]:
    """Aggregates normalised scores over the tasks that can be compared.

    Of a method, only seeds that have ended on every one of these tasks count.

    Args:
        groups: The result of `grouped`.
        baseline: As for `compare`.
        references: Reference scores by the table's names of tasks, over those of `REFERENCE_SCORES`.

    Returns:
        The methods, if there are at least two tasks; the tasks; and notes on what was left out, and why.

    Raises:
        ValueError: An unknown baseline.
    """
    _check_baseline(groups, baseline)
    tasks: dict[str, ReferenceScores] = {}
    mixed = mixed_tasks(groups)
    notes = []
    for task in dict.fromkeys(group.task for group in groups):
        own = [group for group in groups if group.task == task]
        reference = (references or {}).get(task) or reference_scores_of(own[0].id)
        if task in mixed:
            notes.append(f"{task} has runs that differ in {mixed[task]}: not compared over the tasks")
        elif not any(group.scores for group in own):
            notes.append(f"On {task} no run has ended: left out over the tasks")
        elif reference is None:
            notes.append(f"{task} has no reference scores: not normalised")
        else:
            tasks[task] = reference
    if len(tasks) < 2:
        return [], list(tasks), notes
    scores: dict[str, NDArray[np.float64]] = {}
    for method in dict.fromkeys(group.method for group in groups):
        of = {group.task: group for group in groups if group.method == method and group.task in tasks}
        seeds = set.intersection(*(set(of[task].scores) if task in of else set() for task in tasks))
        if seeds:
            columns = [
                tasks[task].normalised([of[task].scores[seed] for seed in sorted(seeds)]) for task in tasks
            ]
            scores[method] = np.stack(columns, axis=1)
        else:
            notes.append(f"{method} has no seed that has ended on every task: not compared over the tasks")
    base = scores.get(baseline) if baseline is not None else None
    found = [
        OverTasks(
            method,
            {name: estimate(values, name) for name in STATISTICS},
            None if base is None or method == baseline else probability_of_improvement(values, base),
        )
        for method, values in scores.items()
    ]
    return found, list(tasks), notes


def reference_scores_of(id_: str) -> ReferenceScores | None:
    """The reference scores of an environment's task; None if it has none, or is not known here.

    Args:
        id_: The Hyper-RL environment's id. The generic ids have no task of their own, hence no scores.
    """
    try:
        return REFERENCE_SCORES.get(id_kwargs(id_).get("task", ""))
    except (ValueError, ImportError):
        return None


def _check_baseline(groups: Sequence[Group], baseline: str | None) -> None:
    if baseline is not None:
        check_choice("method", baseline, list(dict.fromkeys(group.method for group in groups)))
