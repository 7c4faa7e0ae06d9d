"""A league: the methods of a study ranked over its tasks, against what a learned choice has to beat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from hyperrl_lab.figure import DARK, LIGHT, OWN, new_figure
from hyperrl_lab.studies.comparison import (
    ENDED,
    Group,
    OverTasks,
    compare,
    grouped,
    left_out,
    over_tasks,
    reference_scores_of,
)
from hyperrl_lab.studies.own_runs import OwnRuns, own_runs
from hyperrl_lab.studies.record import record_of
from hyperrl_lab.studies.statistics import FEWEST_SEEDS, Estimate
from hyperrl_lab.studies.study import Study, short_name
from hyperrl_lab.studies.text import markdown_table, number, share, with_interval

_SCORE, _EVALUATION = "mean_last_100", "evaluation_mean"
_EVEN = 0.5
# Five normal scores per method and task, all of one distribution, on one to four tasks.
_CAVEAT = (
    "A method is better or worse if its whole 95 % interval is on one side of 50 %. With five seeds such "
    "bootstrap intervals are too narrow: between equal methods 6 to 10 % of them are wrong (simulated with "
    "normal scores)."
)


@dataclass(frozen=True)
class Standing:
    """A method of a league.

    Attributes:
        method: Its name.
        score: Interquartile mean of its normalised scores, over tasks and seeds.
        evaluation: The same of deterministic episodes of the final policies; None without them.
        tasks: Interquartile mean of its scores on each task, by the task's name.
        against: Probability of improvement over each reference, by the reference's name; not over itself.
        env_steps: The most environment steps of a run, with those that its agent spent beside the budget.
        seconds: Median duration of a run that has ended; None: the runs do not say.
    """

    method: str
    score: Estimate
    evaluation: Estimate | None
    tasks: Mapping[str, Estimate]
    against: Mapping[str, Estimate]
    env_steps: int
    seconds: float | None


@dataclass(frozen=True)
class League:
    """The methods of a study, the best first.

    Attributes:
        title: The study's.
        standings: The methods.
        references: Methods that the others are compared with: the baseline, a random choice, and the best
            fixed action, as far as the study has them.
        best_fixed: The last of these: the best of the study's `fixed` agents but for the baseline.
        tasks: The tasks that the scores are from.
        notes: What was left out.
        runs: All runs of the study, as in `runs_table`.
        baseline: The method that the study compares the others with.
    """

    title: str
    standings: Sequence[Standing]
    references: Sequence[str]
    best_fixed: str | None
    tasks: Sequence[str]
    notes: Sequence[str]
    runs: pa.Table
    baseline: str


def check_league(study: Study) -> None:
    """Checks, before there are runs, that a study has tasks to rank its methods over.

    Raises:
        ValueError: Fewer than two of its tasks have reference scores.
    """
    without = [task.name or short_name(task.id) for task in study.tasks if not reference_scores_of(task.id)]
    if len(study.tasks) - len(without) >= 2:
        return
    have = "has" if len(without) == 1 else "have"
    raise ValueError(
        "Methods are ranked over tasks with reference scores (`hyperrl_lab.studies.reference_scores` lists "
        "them): the study needs at least two." + (f" {', '.join(without)} {have} none." if without else "")
    )


def league(folder: Path, study: Study) -> League:
    """Ranks the methods of a study, by the runs that are the study's own.

    Args:
        folder: The study's.
        study: The study; methods and runs that it does not declare are not ranked.

    Raises:
        ValueError: There is no run in the folder, or there are fewer than two tasks to rank methods over.
        NotADirectoryError: It is not a folder.
    """
    record, own = record_of(study), own_runs(folder, study)
    groups, rows = grouped(own.table, _SCORE), own.table.to_pylist()
    ranked, tasks, left = over_tasks(groups)
    notes = [*_not_there(own), *left]
    if not ranked:
        raise ValueError(f"{folder} has no two tasks to rank methods over. {_sentences(notes)}".rstrip())
    ranked = sorted(ranked, key=_score, reverse=True)
    agents = {row["method"]: row["agent"] for row in rows}
    baseline = [one.method for one in ranked if one.method == record.baseline]
    others = [one.method for one in ranked if one.method != record.baseline]
    random = [method for method in others if agents[method] == "random"]
    fixed = [method for method in others if agents[method] == "fixed"]
    references = [*baseline, *random[:1], *fixed[:1]]
    against = {
        name: {one.method: one.improvement for one in over_tasks(groups, name)[0]} for name in references
    }
    evaluations = {one.method: one for one in over_tasks(grouped(own.table, _EVALUATION))[0]}
    compared = compare(groups)
    return League(
        title=record.title,
        standings=[
            Standing(
                method=one.method,
                score=one.estimates["iqm"],
                evaluation=evaluations[one.method].estimates["iqm"] if one.method in evaluations else None,
                tasks={
                    found.group.task: found.estimate
                    for found in compared
                    if found.group.method == one.method and found.estimate is not None
                },
                against={
                    name: found for name in references if (found := against[name][one.method]) is not None
                },
                env_steps=_env_steps(groups, one.method),
                seconds=_seconds(rows, one.method),
            )
            for one in ranked
        ],
        references=references,
        best_fixed=fixed[0] if fixed else None,
        tasks=tasks,
        notes=[*notes, *left_out(compared), *_diverged(rows)],
        runs=own.table,
        baseline=record.baseline,
    )


def _not_there(own: OwnRuns) -> Iterator[str]:
    """How many of the study's runs the folder does not hold."""
    if own.missing:
        yield f"{own.missing} of the study's {own.declared} runs are missing"
    if own.replaced:
        yield (
            f"{own.replaced} of the study's {own.declared} runs are not ranked: their folders hold other "
            "runs than the study says now"
        )


def _sentences(notes: Sequence[str]) -> str:
    return " ".join(f"{note}." for note in notes)


def _score(one: OverTasks) -> float:
    return float(one.estimates["iqm"].value)


def _seconds(rows: Sequence[Mapping[str, Any]], method: str) -> float | None:
    ended = [row for row in rows if row["method"] == method and row["status"] in ENDED]
    seconds = [row["seconds"] for row in ended if row["seconds"] is not None]
    return median(seconds) if seconds else None


def _diverged(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How many runs ended before their budget, because every update of a phase was refused."""
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row["status"] for row in rows if row["method"] == method]
        if count := own.count("diverged"):
            yield f"{count} of the {len(own)} runs of {method} diverged before the end of their budget"


def _env_steps(groups: Sequence[Group], method: str) -> int:
    return max(group.budget + group.extra_env_steps for group in groups if group.method == method)


def markdown(found: League, command: str, picture: str) -> str:
    """The league as a section of a Markdown page.

    Args:
        found: The league.
        command: The command that measured it.
        picture: The picture's path from the page.
    """
    parts = [
        f"## {found.title}",
        f"```text\n{command}\n```",
        "Score of a run: its mean return of the last 100 training episodes, normalised; of a method: the "
        f"interquartile mean over {', '.join(found.tasks)} and the seeds, in brackets the 95 % interval. "
        "*Evaluation*: the same of deterministic episodes of the final policies. *Env steps*: of a run, with "
        f"those that the method spends beside the budget. *Seconds*: the median duration of a run. {_CAVEAT}",
        markdown_table(*_ranking(found)),
        "The interquartile mean of the returns on each task:",
        markdown_table(*_by_task(found)),
        *_verdicts(found),
        *([_sentences(found.notes)] if found.notes else []),
        f"![{found.title}: scores, and the probability to be better]({picture})",
    ]
    return "\n\n".join(parts) + "\n"


def _ranking(found: League) -> tuple[list[str], list[list[str]]]:
    header = ["method", "seeds", "score", "evaluation"]
    header += [f"P(better than {name})" for name in found.references] + ["env steps", "seconds"]
    rows = [
        [
            *(one.method, str(one.score.seeds), with_interval(one.score), with_interval(one.evaluation)),
            *(with_interval(one.against.get(name), share) for name in found.references),
            *(f"{one.env_steps:,}", number(one.seconds)),
        ]
        for one in found.standings
    ]
    return header, rows


def _by_task(found: League) -> tuple[list[str], list[list[str]]]:
    rows = [
        [one.method, *(with_interval(one.tasks.get(task)) for task in found.tasks)] for one in found.standings
    ]
    return ["method", *found.tasks], rows


def _verdicts(found: League) -> Iterator[str]:
    """Which methods beat each reference, in words; only an interval that leaves out one half says so."""
    for name in found.references:
        compared = {one.method: one.against[name] for one in found.standings if name in one.against}
        told = {method: p for method, p in compared.items() if p.low is not None}
        few = [method for method in compared if method not in told]
        better = [method for method, p in told.items() if p.low > _EVEN]
        worse = [method for method, p in told.items() if p.high < _EVEN]
        even = [method for method in told if method not in (*better, *worse)]
        chosen = (
            " (the best of the fixed values on these very runs, which favours it)"
            if name == found.best_fixed
            else ""
        )
        parts = [f"Against **{name}**{chosen}"]
        if told:
            parts += [f"Better: {_list(better)}", f"Worse: {_list(worse)}"]
            parts += [f"Not told apart, because the interval holds 50 %: {_list(even)}"]
        if few:
            parts += [f"Too few seeds for an interval, which takes {FEWEST_SEEDS}: {_list(few)}"]
        yield _sentences(parts)


def _list(methods: Sequence[str]) -> str:
    return "; ".join(methods) if methods else "none"


def draw(found: League, path: Path) -> None:
    """Draws the scores, and the probability to be better than the first reference, if there is one.

    Args:
        found: The league.
        path: The picture.
    """
    standings = found.standings[::-1]
    with new_figure(path, (7.0, 0.28 * len(standings) + 1.2)) as figure:
        first = found.references[:1]
        scores, *others = figure.subplots(1, 1 + len(first), sharey=True, squeeze=False)[0]
        _points(scores, [one.score for one in standings])
        scores.set_xlabel("normalised score\n(interquartile mean)")
        scores.set_yticks(range(len(standings)), [one.method for one in standings])
        for better, reference in zip(others, first, strict=True):
            _points(better, [one.against.get(reference) for one in standings])
            better.axvline(_EVEN, color=OWN, linewidth=1)
            better.set(xlim=(0, 1), xlabel=f"probability to be better\nthan {reference}")
        figure.suptitle(found.title, fontsize=10)


def _points(axes: Any, estimates: Sequence[Estimate | None]) -> None:
    for place, found in enumerate(estimates):
        if found is None:
            continue
        if found.low is not None:
            axes.plot([found.low, found.high], [place, place], color=LIGHT, linewidth=4)
        axes.plot(found.value, place, "o", color=DARK, markersize=4)
