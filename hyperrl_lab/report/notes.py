"""What a reader of a report must know before its numbers: what is missing, mixed or damaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from hyperrl_lab.report.scores import ENDED, Values
from hyperrl_lab.studies.record import StudyRecord

_Found = Iterator[tuple[str, list[str]]]


def gather_notes(
    rows: Sequence[Values], made_with: Sequence[dict[str, str]], record: StudyRecord | None
) -> list[Values]:
    """Notes, each with a `text` and the `items` that it is about.

    Args:
        rows: Those of `runs_table`.
        made_with: The versions that made each run; empty if they are unknown.
        record: The study's, if there is one.
    """
    found = (
        *_not_ended(rows),
        *_not_begun(rows, record),
        *_budgets(rows),
        *_versions(made_with),
        *_repeated(rows),
    )
    return [{"text": text, "items": items} for text, items in found if items]


def _not_ended(rows: Sequence[Values]) -> _Found:
    others = [row for row in rows if row["status"] not in ENDED]
    yield (
        "Runs that have not ended, or that are damaged. They count in no score and in no mean:",
        [f"{row['folder']}: {row['status']}. {row['problem'] or ''}".strip() for row in others],
    )
    yield (
        "Runs with a problem:",
        [f"{row['folder']}: {row['problem']}" for row in rows if row["problem"] and row not in others],
    )


def _not_begun(rows: Sequence[Values], record: StudyRecord | None) -> _Found:
    begun = {row["folder"] for row in rows}
    planned = record.runs if record is not None else ()
    yield "Runs of the study that have not begun:", [run.folder for run in planned if run.folder not in begun]


def _budgets(rows: Sequence[Values]) -> _Found:
    items = []
    for task in dict.fromkeys(row["task"] for row in rows if row["task"] is not None):
        budgets: dict[int, list[str]] = {}
        for row in rows:
            if row["task"] == task:
                budgets.setdefault(row["budget"] or 0, []).append(row["method"])
        if len(budgets) > 1:
            parts = [f"{budget:,} env steps ({_counted(who)})" for budget, who in sorted(budgets.items())]
            items.append(f"{task}: {'; '.join(parts)}")
    yield "Runs of different budgets, which are not compared with each other:", items


def _versions(made_with: Sequence[dict[str, str]]) -> _Found:
    known = [versions for versions in made_with if versions]
    items = []
    for name in dict.fromkeys(name for versions in known for name in versions):
        used = [versions.get(name, "none") for versions in known]
        if len(set(used)) > 1:
            items.append(f"{name} {_counted(used)}")
    yield "Runs made with different versions. Their results may differ for that reason:", items


def _repeated(rows: Sequence[Values]) -> _Found:
    places: dict[tuple[Any, ...], list[str]] = {}
    for row in rows:
        if row["task"] is not None:
            key = row["task"], row["method"], row["budget"], row["seed"]
            places.setdefault(key, []).append(row["folder"])
    yield (
        "Runs of the same task, method, budget and seed. The first that has ended counts:",
        [
            f"{task}, {method}, seed {seed}: {', '.join(folders)}"
            for (task, method, _, seed), folders in places.items()
            if len(folders) > 1
        ],
    )


def _counted(names: Sequence[str]) -> str:
    counts = sorted(Counter(names).items())
    return ", ".join(f"{name}: {count} run{'s' * (count > 1)}" for name, count in counts)
