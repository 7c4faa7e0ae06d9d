"""What was measured of a study of the paper, beside what the paper reports: a table and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from hyperrl_env.saving.files import write_text
from hyperrl_lab.folder import RunFolder
from hyperrl_lab.search.methods import PERTURB_EVERY
from hyperrl_lab.studies.comparison import Compared, Group, compare, grouped, left_out, over_tasks
from hyperrl_lab.studies.own_runs import own_runs
from hyperrl_lab.studies.pictures import draw_curves
from hyperrl_lab.studies.populations import populations_exist
from hyperrl_lab.studies.published import Gain, Published, PublishedStudy
from hyperrl_lab.studies.study import Study, StudyRun
from hyperrl_lab.studies.text import NONE, markdown_table, number, share, with_interval

_METRICS = {
    "mean_last_10": "mean return of the last 10 training episodes",
    "mean_last_100": "mean return of the last 100 training episodes",
    "best_100": "best mean return of 100 training episodes in a row",
}
_STATISTICS = {"mean": "mean", "median": "median", "iqm": "interquartile mean"}
# Further columns: the score, and what it is.
_FURTHER = {
    "last 100": ("mean_last_100", "the same of the last 100 training episodes"),
    "evaluation": ("evaluation_mean", "the same of deterministic episodes of the final policy"),
}
# By task and method.
Scores = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Measured:
    """What a folder holds of a study of the paper.

    Attributes:
        paper: What the paper reports.
        study: What was to be run, at its scale.
        folder: The folder.
        runs: The study's runs in it, as in `runs_table`.
        groups: The same by task and method.
        populations: The study's populations, those that have not begun included.
        foreign: Number of other runs in the folder, and of runs with another configuration.
    """

    paper: PublishedStudy
    study: Study
    folder: Path
    runs: pa.Table
    groups: Sequence[Group]
    populations: Sequence[StudyRun]
    foreign: int


def measured(paper: PublishedStudy, study: Study, folder: Path) -> Measured:
    """Reads the runs of a study. Only those with the study's very configurations count.

    Args:
        paper: What the paper reports.
        study: A result of `paper.scaled`.
        folder: Holds the runs' folders. It is only read.

    Raises:
        ValueError: There is no run of the study in the folder.
        NotADirectoryError: It is not a folder.
    """
    populations = paper.populations(study)
    own = own_runs(folder, study, populations)
    if not own.table.num_rows:
        raise ValueError(f"{folder} holds no run of this study at this scale: {study.title}.")
    groups = grouped(own.table, paper.metric)
    return Measured(paper, study, folder, own.table, groups, populations, own.foreign)


def write_files(found: Measured, name: str, command: str) -> Path:
    """Writes the table and the picture of a study into its folder.

    Args:
        found: The study.
        name: Name of the files, without their ends.
        command: The command that measured it.

    Returns:
        The table's file.

    Raises:
        FileExistsError: A file of this name is there that was not written so.
    """
    files = RunFolder(found.folder)
    names = [f"{name}.md", f"{name}.png"]
    files.check(names)
    page, picture = (files.claim(file) for file in names)
    draw(found, picture)
    write_text(page, markdown(found, command, picture.name))
    return page


def draw(found: Measured, picture: Path) -> None:
    """Draws the study's learning curves."""
    statistic = found.paper.statistic
    draw_curves(found.folder, found.runs, found.groups, found.study.title, picture, statistic)


def markdown(found: Measured, command: str, picture: str, heading: str = "#") -> str:
    """The study's section: measured beside published.

    Args:
        found: The study.
        command: The command that measured it.
        picture: The picture's path from the text.
        heading: What begins the heading.
    """
    paper, study = found.paper, found.study
    baseline = study.baseline if any(group.method == study.baseline for group in found.groups) else None
    compared, further = compare(found.groups, baseline, paper.statistic), _further(found)
    parts = [
        f"{heading} {study.title}",
        f"```text\n{command}\n```",
        f"Score of a run: its {_METRICS[paper.metric]}; of a method: the {_STATISTICS[paper.statistic]} over "
        f"its seeds, in brackets the 95 % interval. Published: {paper.place} of the paper."
        + "".join(f" *{column.capitalize()}*: {_FURTHER[column][1]}." for column in further),
        _table(found, compared, baseline, further),
        *_over_tasks(found, baseline),
        *(_gain(found, gain) for gain in paper.gains),
        f"**The paper:** {paper.claim}",
        *([paper.remark] if paper.remark else []),
        *_of_populations(found),
        *([" ".join(f"{note}." for note in notes)] if (notes := list(_notes(found, compared))) else []),
        f"![Learning curves: {study.title}]({picture})",
    ]
    return "\n\n".join(parts) + "\n"


def _table(
    found: Measured, compared: Sequence[Compared], baseline: str | None, further: Mapping[str, Scores]
) -> str:
    """A row per task and method: those that have been run, those that have not, and those that cannot be."""
    paper, study = found.paper, found.study
    header = ["task", "method", "env steps", "seeds", "measured", "std", "published"]
    header += [] if baseline is None else [f"P(better than {baseline})", "Cohen's d"]
    header += further
    by_key = {(one.group.task, one.group.method): one for one in compared}
    sizes = {run.method: run.config.agent_kwargs["population"] for run in found.populations}
    lacking = {method.name: f"no agent `{method.agent}`" for method in paper.missing}
    if sizes and not populations_exist():
        lacking |= dict.fromkeys(sizes, "needs the extra `ray`")
    methods = [*(method.name for method in study.methods), *sizes, *(method.name for method in paper.missing)]
    rows = []
    for task in study.tasks:
        for method in methods:
            one = by_key.get((task.name, method))
            size = f"{sizes[method]} x " if method in sizes else ""
            row = [task.name, method, f"{size}{task.total_env_steps:,}"]
            if one is None or one.estimate is None:
                why = f"not available: {lacking[method]}" if method in lacking else "not yet"
                row += ["0", why, NONE]
            else:
                row += [str(one.estimate.seeds), with_interval(one.estimate), number(one.std)]
            row.append(_published(paper.published.get((task.name, method))))
            if baseline is not None:
                improvement, effect = (None, None) if one is None else (one.improvement, one.effect)
                row += [with_interval(improvement, share), number(effect)]
            row += [number(scores.get((task.name, method))) for scores in further.values()]
            rows.append(row)
    return markdown_table(header, rows)


def _further(found: Measured) -> dict[str, Scores]:
    """Further columns: the statistic of other scores of the runs."""
    columns: dict[str, Scores] = {}
    for header, (metric, _) in _FURTHER.items():
        of_method = compare(grouped(found.runs, metric), statistic=found.paper.statistic)
        scores = {
            (one.group.task, one.group.method): float(one.estimate.value)
            for one in of_method
            if one.estimate is not None
        }
        if scores and metric != found.paper.metric:
            columns[header] = scores
    return columns


def _published(score: Published | None) -> str:
    if score is None:
        return NONE
    std = "" if score.std is None else f" ± {score.std:,g}"
    return f"{score.value:,g}{std}" + (f" ({score.by})" if score.by else "")


def _over_tasks(found: Measured, baseline: str | None) -> Iterator[str]:
    together, tasks, _ = over_tasks(found.groups, baseline)
    if not together:
        return
    header = ["method", "seeds", "interquartile mean", "median", "mean"]
    header += [] if baseline is None else [f"P(better than {baseline})"]
    rows = [
        [
            *(one.method, str(one.estimates["iqm"].seeds)),
            *(with_interval(one.estimates[name]) for name in ("iqm", "median", "mean")),
            *([] if baseline is None else [with_interval(one.improvement, share)]),
        ]
        for one in together
    ]
    yield f"Over the tasks ({', '.join(tasks)}), by normalised scores:"
    yield markdown_table(header, rows)


def _gain(found: Measured, gain: Gain) -> str:
    """The measured gain beside the published one."""
    means = {(g.task, g.method): g.values.mean() for g in found.groups if len(g.scores)}
    tasks = [t.name for t in found.study.tasks if {(t.name, gain.method), (t.name, gain.over)} <= set(means)]
    text = f"Published: on average {gain.method} earns {number(gain.value)} more than {gain.over}. Measured: "
    if not tasks:
        return f"{text}not yet."
    value = float(np.mean([means[task, gain.method] - means[task, gain.over] for task in tasks]))
    return f"{text}{number(value)}, over {', '.join(tasks)}."


def _of_populations(found: Measured) -> Iterator[str]:
    """What a row of a population means, and how often it is perturbed."""
    if not found.populations:
        return
    names = " and ".join(dict.fromkeys(run.method for run in found.populations))
    size = found.populations[0].config.agent_kwargs["population"]
    every = {run.task: run.config.agent_kwargs["perturb_every"] for run in found.populations}
    intervals = sorted(set(every.values()))
    steps = " or ".join(f"{number:,}" for number in intervals)
    yield (
        f"{names}: a population of {size} members side by side, each with the budget, counted as one run. "
        "Its score is that of the member that is best at the end by its last 100 training episodes. A member "
        f"is perturbed every {steps} env steps"
        + (
            f" (in the paper {PERTURB_EVERY:,}, shrunk with the budget)."
            if intervals != [PERTURB_EVERY]
            else "."
        )
    )


def _notes(found: Measured, compared: Sequence[Compared]) -> Iterator[str]:
    yield from left_out(compared)
    declared = len(found.study.runs()) + len(found.populations)
    if found.runs.num_rows < declared:
        yield f"{declared - found.runs.num_rows} of the study's {declared} runs have not begun"
    if found.foreign:
        yield f"{found.foreign} of the runs in the folder are not the study's, or have another configuration"
