"""All runs of a folder as one table, a row per run.

| column | meaning |
|---|---|
| `folder` | the run's folder in the folder, with "/"; "." if it is the folder itself |
| `task` | name of the task: the study's, or else the id's without what all share; see `telling_apart` |
| `id` | the environment's id |
| `agent` | the hyper-agent's name or import path |
| `method` | name of the method: the study's, or else the agent's; see `telling_apart` |
| `seed` | the run's |
| `settings` | keywords of the environment (`env_kwargs`) and of the agent (`agent_kwargs`), as JSON |
| `budget` | environment steps that the run was given |
| `status` | see `STATUSES` |
| `problem` | what is damaged; empty if nothing is |
| `env_steps` | environment steps done, by a search's best run; without a summary, at the last episode |
| `extra_env_steps` | environment steps that the agent, or the other runs of the search, spent beside those |
| `episodes` | inner episodes that ended in training |
| `mean_last_10` | mean return of the last 10 of them, or of all if there are fewer |
| `mean_last_100` | the same of the last 100: the run's score |
| `best_100` | the highest mean return of 100 of them in a row, or of all if there are fewer |
| `area` | see `curves.area_under_curve` |
| `evaluation_mean` | mean return of the last policy's deterministic episodes, by `hyperrl evaluate` |
| `evaluation_std` | their standard deviation |
| `evaluation_episodes` | their number |
| `diverged_steps` | updates that were refused |
| `seconds` | duration |
| `steps_per_second` | environment steps per second |
| `version` | version of Hyper-RL that made the run |

Returns are undiscounted, of raw rewards. What is unknown is null.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config
from hyperrl_lab.evaluation import EVALUATION_FILE, read_evaluation
from hyperrl_lab.lock import holder_lives
from hyperrl_lab.results import EPISODES_FILE, SUMMARY_FILE
from hyperrl_lab.search.record import SEARCH_FILE
from hyperrl_lab.studies.curves import area_under_curve
from hyperrl_lab.studies.record import RecordedRun, StudyRecord, read_record
from hyperrl_lab.studies.study import short_name
from hyperrl_lab.studies.telling_apart import Row, inner, tell_apart
from hyperrl_lab.summaries import SCORE_EPISODES, running_mean

# Of a run that has ended: the whole budget done; every update of a phase refused. Others can be resumed.
STATUSES = ("finished", "diverged", "interrupted", "failed", "running", "damaged")
_TEXT, _WHOLE, _NUMBER = pa.string(), pa.int64(), pa.float64()
_SCORES = ("mean_last_10", "mean_last_100", "best_100", "area", "evaluation_mean", "evaluation_std")
SCHEMA = pa.schema(
    [
        *((name, _TEXT) for name in ("folder", "task", "id", "agent", "method")),
        *(("seed", _WHOLE), ("settings", _TEXT), ("budget", _WHOLE), ("status", _TEXT), ("problem", _TEXT)),
        *((name, _WHOLE) for name in ("env_steps", "extra_env_steps", "episodes")),
        *((name, _NUMBER) for name in _SCORES),
        ("evaluation_episodes", _WHOLE),
        *(("diverged_steps", _WHOLE), ("seconds", _NUMBER), ("steps_per_second", _NUMBER)),
        ("version", _TEXT),
    ]
)
_LAST = 10


def runs_table(folder: Path, record: StudyRecord | None = None) -> pa.Table:
    """All runs in a folder and the folders below it, whatever their state.

    Args:
        folder: A study's folder, a folder of runs, or a run's. It is only read.
        record: The record of the study whose folder it is; its names stand whatever other runs there are.
            None: the folder's own, if it has one.

    Returns:
        One row per run, in the order of the study, or else of the folders' names; columns as in `SCHEMA`.

    Raises:
        ValueError: There is no run in the folder.
        NotADirectoryError: It is not a folder.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder.")
    rows: list[Row] = []
    for path, recorded, problem in _found(folder, record):
        row: Row = {"folder": path.relative_to(folder).as_posix()}
        rows.append(row)
        try:
            config, versions = read_config(path / CONFIG_FILE)
        except ValueError as error:
            row.update(status="damaged", problem=str(error))
            continue
        row.update(_what_ran(config), version=versions.get("hyperrl"))
        row.update(_what_came_out(path))
        row["problem"] = " ".join(filter(None, [problem, row["problem"]]))
        if recorded is None:
            row.update(task=short_name(config.id) + inner(config.env_kwargs), method=config.agent)
        else:
            row.update(task=recorded.task, method=recorded.method)
    if not rows:
        raise ValueError(f"There is no run in {folder}: no folder in it holds a {CONFIG_FILE}.")
    if record is None:
        tell_apart(rows)
    return pa.Table.from_pylist(rows, SCHEMA)


def joined(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Several tables of runs as one.

    Args:
        tables: By what to write before the runs' folders.

    Returns:
        All rows; tasks and methods that have one name in two tables are told apart as in `runs_table`.
    """
    rows = [
        {**row, "folder": f"{source}/{row['folder']}"}
        for source, runs in tables.items()
        for row in runs.to_pylist()
    ]
    tell_apart(rows)
    return pa.Table.from_pylist(rows, SCHEMA)


def _found(folder: Path, given: StudyRecord | None) -> Iterator[tuple[Path, RecordedRun | None, str]]:
    """The folders of runs, what the study beside says of each, and what is wrong with that study's record.

    No run is looked for in the folder of a run.
    """
    records: dict[Path, tuple[dict[str, RecordedRun], str]] = {}
    if given is not None:
        records[folder] = {run.folder: run for run in given.runs}, ""

    def record(place: Path) -> tuple[dict[str, RecordedRun], str]:
        if place not in records:
            records[place] = _record(place)
        return records[place]

    new = _unseen(folder.resolve())
    for name, folders, files in os.walk(folder, followlinks=True):
        path = Path(name)
        if CONFIG_FILE in files:
            folders.clear()
            runs, problem = record(path.parent)
            yield path, runs.get(path.name), problem
        else:
            folders[:] = [run for run in folders if new(path / run)]
            order = {run: number for number, run in enumerate(record(path)[0])}
            folders.sort(key=lambda run: (order.get(run, len(order)), run))


def _unseen(top: Path) -> Callable[[Path], bool]:
    """What says whether a folder must still be looked into, for links can form a circle.

    A link to what lies in the folder `top` need not be followed: it is found there, under its own name.
    """
    seen = {top}

    def new(path: Path) -> bool:
        place = path.resolve()
        if place in seen or (path.is_symlink() and place.is_relative_to(top)):
            return False
        seen.add(place)
        return True

    return new


def _record(folder: Path) -> tuple[dict[str, RecordedRun], str]:
    try:
        record = read_record(folder)
    except ValueError as error:
        return {}, str(error)
    return {} if record is None else {run.folder: run for run in record.runs}, ""


def settings_text(config: RunConfig) -> str:
    """What the column `settings` holds."""
    return json.dumps({"env_kwargs": config.env_kwargs, "agent_kwargs": config.agent_kwargs}, sort_keys=True)


def _what_ran(config: RunConfig) -> Row:
    return {
        "id": config.id,
        "agent": config.agent,
        "seed": config.seed,
        "settings": settings_text(config),
        "budget": config.total_env_steps,
    }


def _what_came_out(path: Path) -> Row:
    """What the files of a run say; a damaged one is named under "problem"."""
    problems: list[str] = []
    row: Row = {}

    def attempt(file: str, read: Callable[[Path], Row]) -> None:
        try:
            row.update(read(path / file))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, LookupError, TypeError, pa.ArrowException) as error:
            problems.append(f"{file} is damaged: {error}.")

    attempt(SUMMARY_FILE, _summary)
    attempt(SEARCH_FILE, _search)
    attempt(EPISODES_FILE, lambda file: _training(file, row.get("env_steps")))
    attempt(EVALUATION_FILE, _evaluation)
    if problems:
        row["status"] = "damaged"
    elif holder_lives(path):
        row["status"] = "running"
    else:
        row.setdefault("status", "interrupted")
    if unknown := [name for name in _SCORES if not math.isfinite(row.get(name) or 0.0)]:
        row |= dict.fromkeys(unknown)
        problems.append(f"No {', '.join(unknown)}: a return is not a finite number.")
    return {**row, "problem": " ".join(problems)}


def _summary(file: Path) -> Row:
    content = json.loads(file.read_text(encoding="utf-8"))
    if content["status"] not in STATUSES:
        raise ValueError(f"unknown status {content['status']!r}")
    # Runs of earlier versions do not have all of them.
    names = ("env_steps", "extra_env_steps", "diverged_steps", "seconds", "steps_per_second")
    return {"status": content["status"], **{name: content.get(name) for name in names}}


def _search(file: Path) -> Row:
    """Tells the steps of the best run, whose results a search has, from those that the others cost."""
    content = json.loads(file.read_text(encoding="utf-8"))
    own = content["best"]["env_steps"] if content["best"] else 0
    return {"env_steps": own, "extra_env_steps": content["env_steps"] - own}


def _training(file: Path, env_steps: int | None) -> Row:
    with pq.ParquetFile(file) as parquet:
        table = parquet.read(["env_steps", "return"])
    episodes = {name: table[name].to_numpy() for name in table.column_names}
    ends, returns = episodes["env_steps"], episodes["return"]
    done = int(ends[-1]) if len(ends) else 0
    row: Row = {"env_steps": max(done, env_steps or 0), "episodes": len(ends)}
    if len(ends):
        whole = running_mean(returns, SCORE_EPISODES)[min(len(ends), SCORE_EPISODES) - 1 :]
        row.update(
            mean_last_10=float(np.mean(returns[-_LAST:])),
            mean_last_100=float(np.mean(returns[-SCORE_EPISODES:])),
            best_100=float(whole.max()),
            area=area_under_curve(episodes, row["env_steps"]),
        )
    return row


def _evaluation(file: Path) -> Row:
    if (content := read_evaluation(file.parent)) is None:
        return {}
    mean, std = content["mean_return"], content["std_return"]
    return {
        "evaluation_mean": math.nan if mean is None else float(mean),
        "evaluation_std": math.nan if std is None else float(std),
        "evaluation_episodes": int(content["episodes"]),
    }
