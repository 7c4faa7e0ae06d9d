"""Collects the experience of finished runs from their folders."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from agents.experience import Experience, Float32s, PastRun, merged
from agents.experience_file import experience_path, read_experience
from hyperrl_env import DIAGNOSTICS, TASKS
from hyperrl_env.diagnostics import CHANGES
from hyperrl_env.settings import get_settings
from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config
from hyperrl_lab.evaluation import EVALUATION_FILE, read_evaluation
from hyperrl_lab.ids import id_kwargs
from hyperrl_lab.results import EPISODES_FILE, PHASES_FILE, Columns, outcome, read_columns
from hyperrl_lab.search.methods import POPULATIONS, TRIALS
from hyperrl_lab.search.record import SEARCH_FILE
from hyperrl_lab.studies.curves import area_under_curve
from hyperrl_lab.summaries import SCORE_EPISODES

# Keywords of the environment that change what a run starts from, beside the starting point.
_OF_START = ("env_kwargs", "learner_kwargs", "n_envs", "normalize")
_OF_EPISODES = ("env_steps", "return", "length")


def build_experience(paths: Sequence[Path], algorithm: str | None = None) -> Experience:
    """The experience of runs, each counted once.

    Args:
        paths: Folders of runs, folders that hold such folders, and files of experience to add to; "PPO" is
            the one that ships with the package.
        algorithm: The inner algorithm whose runs are taken, and others left out. None: there must be one.

    Raises:
        ValueError: Runs that have not ended or are damaged, a folder without runs, a file that is no
            experience, or runs of several algorithms; the message says which and why.
    """
    parts: list[Experience] = []
    refused: list[str] = []
    for path in paths:
        file = path if path.exists() else experience_path(str(path))
        if file.is_file():
            parts.append(read_experience(file))
            continue
        for folder in run_folders(path):
            try:
                parts.append(_experience_of(folder, algorithm))
            except ValueError as error:
                refused.append(str(error))
    if refused:
        raise ValueError("\n".join(refused))
    parts = [part for part in parts if part.runs and algorithm in (None, part.algorithm)]
    if not parts:
        raise ValueError(f"None of these runs is of {algorithm}: give one of their algorithms.")
    return merged(parts)


def run_folders(folder: Path) -> list[Path]:
    """The folders of runs in a folder and below it, or the folder itself; in the order of their names.

    Links are followed. Of a search its trials are runs, but for those that it pruned; its own results are
    those of the best one.

    Raises:
        ValueError: There is none, or a population, whose members have copied one another, or a damaged file.
        OSError: A folder cannot be read.
    """
    if not folder.exists():
        raise ValueError(f"{folder} does not exist.")
    found: list[Path] = []
    pruned: set[Path] = set()
    seen: set[str] = set()
    for name, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        folders[:] = sorted(folders) if (real := os.path.realpath(name)) not in seen else []
        seen.add(real)
        if CONFIG_FILE not in files:
            continue
        agent = read_config(Path(name) / CONFIG_FILE)[0].agent
        if agent in POPULATIONS:
            raise ValueError(
                f"{name} is of a population ({agent}), whose members copy the best among them: none of their "
                "outcomes is that of a whole run. Leave it out."
            )
        if agent in TRIALS:
            pruned |= _pruned(Path(name))
            continue
        folders.clear()
        if Path(name) not in pruned:
            found.append(Path(name))
    if not found:
        raise ValueError(f"There is no run in {folder}: no folder in it holds a {CONFIG_FILE}.")
    return found


def _pruned(search: Path) -> set[Path]:
    """The folders of the trials that a search stopped early: they have no outcome, and never will."""
    file = search / SEARCH_FILE
    try:
        runs = json.loads(file.read_text(encoding="utf-8"))["runs"]
        return {search / run["folder"] for run in runs if run["status"] == "pruned"}
    except FileNotFoundError:
        return set()
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{file} is damaged: {error}.") from error


def _raise(error: OSError) -> NoReturn:
    raise error


def _experience_of(folder: Path, wanted: str | None) -> Experience:
    """The experience of a single run; without it if its algorithm is not wanted."""
    config, versions = read_config(folder / CONFIG_FILE)
    keywords = id_kwargs(config.id)
    algorithm = str(keywords.get("algorithm", "PPO"))
    if wanted not in (None, algorithm):
        return Experience(algorithm, [])
    if config.total_env_steps is None:
        raise ValueError(f"{folder / CONFIG_FILE} lacks total_env_steps, which every run writes there.")
    if outcome(folder) is None:
        raise ValueError(
            f"{folder} has no outcome: the run has not ended. To finish it: `hyperrl resume {folder}`."
        )
    phases, episodes = (
        _columns(folder / PHASES_FILE, "env_steps"),
        _columns(folder / EPISODES_FILE, *_OF_EPISODES),
    )
    if missing := [name for name in DIAGNOSTICS if f"diagnostic.{name}" not in phases]:
        raise ValueError(
            f"{folder} lacks the diagnostics {', '.join(missing)}: it is a run of Hyper-RL "
            f"{versions.get('hyperrl')}. Train it anew: `hyperrl train --config {folder / CONFIG_FILE}`."
        )
    if not len(episodes["return"]):
        raise ValueError(f"{folder} has no outcome: no inner episode ended in the run.")
    if not np.isfinite(episodes["return"]).all():
        raise ValueError(f"{folder} has no outcome: some of its returns are not finite.")
    run = _past_run(folder, config, config.total_env_steps, algorithm, keywords.get("task"), phases, episodes)
    return Experience(algorithm, [run])


def _past_run(
    folder: Path,
    config: RunConfig,
    budget: int,
    algorithm: str,
    task: str | None,
    phases: Columns,
    episodes: Columns,
) -> PastRun:
    kwargs = config.env_kwargs
    point, env_id = kwargs.get("settings", "paper"), kwargs.get("env_id")
    start = get_settings(algorithm, task, point, env_id)
    learner = {**start.learner_kwargs, **kwargs.get("learner_kwargs", {})}
    # A generic id has no settings of the paper's.
    named = "sb3" if task is None and point == "paper" else point
    normalize = kwargs.get("normalize")
    area = area_under_curve(episodes, int(phases["env_steps"][-1]))
    assert area is not None  # an episode has ended
    return PastRun(
        run=_hash(config, phases, episodes),
        inner_env=env_id or kwargs.get("env_fn") or TASKS[str(task)].env_id,
        start=json.dumps(
            {"settings": named, **{key: kwargs[key] for key in _OF_START if kwargs.get(key) is not None}},
            sort_keys=True,
        ),
        normalize=start.normalize if normalize is None else normalize,
        decays=callable(learner.get("learning_rate")),
        agent=config.agent,
        seed=config.seed,
        budget=budget,
        decision=kwargs.get("decision", "update"),
        score=float(np.mean(episodes["return"][-SCORE_EPISODES:])),
        area=area,
        evaluation=_evaluation(folder),
        env_steps=phases["env_steps"].astype(np.int64),
        diagnostics=rounded(np.stack([phases[f"diagnostic.{name}"] for name in DIAGNOSTICS], axis=1)),
        changes={
            name: _changes(name, phases[name], phases[f"default.{name}"])
            for name in CHANGES
            if name in phases
        },
    )


def rounded(numbers: Float32s) -> Float32s:
    """The nearest numbers of 15 binary digits, four decimal ones: more are noise, and a third of a file.

    Example:
        >>> rounded(np.array([0.123456789, 1234567.0], np.float32)).tolist()
        [0.12345504760742188, 1234560.0]
    """
    fractions, exponents = np.frexp(numbers)
    nearest: Float32s = np.ldexp(np.round(np.ldexp(fractions, 15)), exponents - 15)
    return nearest


def _changes(name: str, values: Any, own: Any) -> Any:
    """The change in every phase, (phases + 1,) float32; NaN where the task's own value was 0."""
    defined = own > 0 if name != "ent_coef" else own >= 0
    return np.array(
        [
            CHANGES[name](float(x), float(start)) if known else np.nan
            for x, start, known in zip(values, own, defined, strict=True)
        ],
        np.float32,
    )


def _columns(path: Path, *needed: str) -> Columns:
    try:
        columns = read_columns(path)
        if missing := [name for name in needed if name not in columns]:
            raise ValueError(f"{path} is damaged: it lacks {', '.join(missing)}.")
        return columns
    except FileNotFoundError as error:
        raise ValueError(f"{path.parent} lacks {path.name}.") from error
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} is damaged: {error}.") from error


def _evaluation(folder: Path) -> float | None:
    try:
        found = read_evaluation(folder)
        # Of returns that are not finite there is none.
        return None if found is None or found["mean_return"] is None else float(found["mean_return"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{folder / EVALUATION_FILE} is damaged: {error}.") from error


def _hash(config: RunConfig, *tables: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration and of the results' numbers, which a copy of the run shares."""
    found = hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode())
    for column in _arrays(tables):
        found.update(column)
    return found.hexdigest()


def _arrays(tables: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    for table in tables:
        for name in sorted(table):
            yield name.encode()
            yield np.ascontiguousarray(table[name]).tobytes()
