"""The record of a study in its folder, `study.json`: its runs, and what they are compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hyperrl_env.saving.files import write_text
from hyperrl_lab.studies.study import Study, StudyRun

RECORD_FILE = "study.json"


@dataclass(frozen=True)
class RecordedRun:
    """A run of a study: the name of its folder in the study's, its task, its method and its seed."""

    folder: str
    task: str
    method: str
    seed: int


@dataclass(frozen=True)
class StudyRecord:
    """What tables and pictures need to know of a study.

    Attributes:
        title: What it is.
        baseline: The method that the others are compared with.
        runs: All runs, those that have not begun included; tasks and methods in the order of the study.
    """

    title: str
    baseline: str
    runs: tuple[RecordedRun, ...]


def record_of(study: Study, populations: Sequence[StudyRun] = ()) -> StudyRecord:
    """The record of a study.

    Args:
        study: The study.
        populations: Those that belong to it. They follow its runs.

    Raises:
        ValueError: See `Study.runs`.
    """
    runs = [
        RecordedRun(run.folder, run.task, run.method, run.config.seed)
        for run in (*study.runs(), *populations)
    ]
    baseline = study.baseline or study.methods[0].name or study.methods[0].agent
    return StudyRecord(study.title, baseline, tuple(runs))


def write_record(study: Study, folder: Path, populations: Sequence[StudyRun] = ()) -> None:
    """Writes `study.json`, completely or not at all.

    Runs of an earlier record that are not the study's follow its own: a study that is carried out in parts
    ends as one.

    Args:
        study: The study.
        folder: Its folder.
        populations: See `record_of`.

    Raises:
        ValueError: See `Study.runs`; or the folder's `study.json` is damaged, or not a record.
    """
    record = record_of(study, populations)
    if (earlier := read_record(folder)) is not None:
        own = {run.folder for run in record.runs}
        others = tuple(run for run in earlier.runs if run.folder not in own)
        record = replace(record, runs=record.runs + others)
    write_text(folder / RECORD_FILE, json.dumps(asdict(record), indent=2) + "\n")


def read_record(folder: Path) -> StudyRecord | None:
    """The record in a folder; None if there is none.

    Raises:
        ValueError: The file is damaged, or not a record.
    """
    path = folder / RECORD_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        runs = tuple(RecordedRun(**run) for run in content["runs"])
        return StudyRecord(content["title"], content["baseline"], runs)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} is not the record of a study: {error}.") from error
