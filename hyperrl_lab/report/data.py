"""What the report's page shows, gathered from a folder of runs: plain values, ready for JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from hyperrl_env import __version__
from hyperrl_lab.config import CONFIG_FILE, read_config
from hyperrl_lab.report.curves import gather_curves
from hyperrl_lab.report.maps import gather_maps
from hyperrl_lab.report.notes import gather_notes
from hyperrl_lab.report.schedules import gather_schedules
from hyperrl_lab.report.scores import Score, Values, gather_comparisons, gather_groups, known_scores
from hyperrl_lab.studies.record import StudyRecord, read_record
from hyperrl_lab.studies.statistics import FEWEST_SEEDS
from hyperrl_lab.studies.table import runs_table


def gather(folder: Path, step: Callable[[str, float], None] = lambda what, part: None) -> Values:
    """Gathers what the page shows.

    Args:
        folder: A folder as for `runs_table`; it is only read.
        step: Called with what is being done, and the part of it that is done, in [0, 1].

    Returns:
        Plain values. Runs stand by their index, tasks and methods by their name.

    Raises:
        ValueError: There is no run in the folder.
        NotADirectoryError: It is not a folder.
    """
    step("reading the runs", 0.0)
    runs = runs_table(folder)
    rows, record = runs.to_pylist(), _record(folder)
    tasks, methods = _names(rows, record, "task"), _names(rows, record, "method")
    scores = known_scores(runs)
    groups = sorted(
        gather_groups(runs, scores), key=lambda g: (tasks.index(g["task"]), methods.index(g["method"]))
    )
    made_with = [_versions(folder / row["folder"]) for row in rows]
    return {
        "title": record.title if record else f"Runs in {folder.resolve().name}",
        "folder": str(folder),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hyperrl": __version__,
        "fewest": FEWEST_SEEDS,
        "tasks": tasks,
        "methods": methods,
        "baseline": record.baseline if record and record.baseline in methods else None,
        "scores": [{"name": score.name, "about": score.about, "unit": score.unit} for score in scores],
        "runs": [_run(row, scores) for row in rows],
        "groups": groups,
        "comparisons": gather_comparisons(runs, scores, methods, lambda part: step("comparing", part)),
        "curves": gather_curves(folder, rows, groups, tasks, lambda part: step("curves", part)),
        "schedules": gather_schedules(folder, rows, lambda part: step("schedules", part)),
        "maps": gather_maps(folder, rows, lambda part: step("maps of hyper-states", part)),
        "versions": _counted(made_with),
        "notes": gather_notes(rows, made_with, record),
    }


def _record(folder: Path) -> StudyRecord | None:
    try:
        return read_record(folder)
    except ValueError:
        # The table of the runs names it in every run's problem.
        return None


def _names(rows: Sequence[Values], record: StudyRecord | None, column: str) -> list[str]:
    """Names in the order of the study, or else of the runs."""
    planned = [getattr(run, column) for run in record.runs] if record else []
    present = [row[column] for row in rows if row[column] is not None]
    return [name for name in dict.fromkeys([*planned, *present]) if name in present]


def _versions(folder: Path) -> dict[str, str]:
    try:
        return read_config(folder / CONFIG_FILE)[1]
    except ValueError:
        return {}


def _run(row: Values, scores: Sequence[Score]) -> Values:
    copied = (
        *("folder", "id", "task", "agent", "method", "seed", "status", "problem"),
        *("budget", "env_steps", "extra_env_steps", "episodes", "seconds", "steps_per_second"),
    )
    return {
        **{column: row[column] for column in copied},
        "refused": row["diverged_steps"],
        "settings": _settings(row["settings"]),
        "scores": [row[score.metric] for score in scores],
    }


def _settings(text: str | None) -> str:
    """Keywords as the command line takes them."""
    given = json.loads(text or "{}")
    env, agent = given.get("env_kwargs", {}), given.get("agent_kwargs", {})
    pairs = [*env.items(), *((f"agent.{name}", value) for name, value in agent.items())]
    return " ".join(f"{name}={json.dumps(value)}" for name, value in pairs)


def _counted(made_with: Sequence[dict[str, str]]) -> list[Values]:
    sets = Counter(tuple(sorted(versions.items())) for versions in made_with if versions)
    return [{"runs": count, "packages": dict(packages)} for packages, count in sets.most_common()]
