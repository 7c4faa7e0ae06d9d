"""A study: tasks x methods x seeds, each an independent run in a folder of its own."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hyperrl_env.settings import get_settings
from hyperrl_lab.assignments import configure
from hyperrl_lab.config import RunConfig
from hyperrl_lab.ids import id_kwargs, resolve_id

# Bytes of a run's name. File systems take 255 in one name; that of a log has an ending.
_LONGEST_NAME = 250


@dataclass(frozen=True)
class StudyTask:
    """What is trained on.

    Attributes:
        id: The environment's id.
        name: Its name in folders, tables and pictures. "": the id without "HyperRL-" and its version.
        total_env_steps: Budget of a run in environment steps. None: the study's, or else the task's default.
        settings: Keywords as for `--set`, by key; they override the study's.
    """

    id: str
    name: str = ""
    total_env_steps: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """What chooses the hyperparameters.

    Attributes:
        agent: The hyper-agent's name or import path.
        name: Its name in folders, tables and pictures. "": the agent's.
        settings: Keywords as for `--set`, by key; they override the task's and the study's.
    """

    agent: str
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyRun:
    """One run of a study.

    Attributes:
        folder: Name of its folder in the study's, unique in the study.
        task: The task's name.
        method: The method's name.
        config: The configuration, with the budget; its seed is the run's.
    """

    folder: str
    task: str
    method: str
    config: RunConfig


@dataclass(frozen=True)
class Study:
    """A study's declaration.

    Attributes:
        title: What it is, for tables and pictures.
        tasks: What is trained on.
        methods: What is compared.
        seeds: One run per task, method and seed.
        total_env_steps: Budget of a run. None: each task's default.
        settings: Keywords of every run, as for `--set`, by key, or as pairs, which can repeat a key.
        evaluate_episodes: Episodes of the final policy after each run; 0: none.
        baseline: Name of the method that the others are compared with. None: the first.
        threads: See `RunConfig`.
        log_interval: See `RunConfig`.
    """

    title: str
    tasks: Sequence[StudyTask]
    methods: Sequence[Method]
    seeds: Sequence[int]
    total_env_steps: int | None = None
    settings: Mapping[str, Any] | Sequence[tuple[str, Any]] = field(default_factory=dict)
    evaluate_episodes: int = 0
    baseline: str | None = None
    threads: int = 1
    log_interval: int | None = None

    def runs(self) -> list[StudyRun]:
        """All runs: every method and task with the first seed, then with the next.

        So that what can be compared is complete as early as possible.

        Raises:
            ValueError: An unknown id, agent or keyword, a seed twice, two runs with one folder, or a name
                that is too long for a folder.
        """
        if repeated := _repeated(self.seeds):
            raise ValueError(f"seeds has {', '.join(map(str, repeated))} more than once. Give each one once.")
        runs = [
            self._run(task, method, seed)
            for seed in self.seeds
            for task in self.tasks
            for method in self.methods
        ]
        if twice := _repeated([run.folder for run in runs]):
            raise ValueError(f"Two runs of the study have one name: {', '.join(twice)}. Name them apart.")
        for run in runs:
            if (length := len(os.fsencode(run.folder))) > _LONGEST_NAME:
                raise ValueError(
                    f"The run's name {run.folder!r} has {length} bytes, and a folder's can have at most "
                    f"{_LONGEST_NAME}. Give its task and method a short `name`."
                )
        return runs

    def _run(self, task: StudyTask, method: Method, seed: int) -> StudyRun:
        id_ = resolve_id(task.id)
        task_name, method_name = task.name or short_name(id_), method.name or method.agent
        own = self.settings.items() if isinstance(self.settings, Mapping) else self.settings
        config = configure(
            id_,
            method.agent,
            # In order, for one keyword can have several keys: "n_steps", "learner.n_steps", "learner_kwargs".
            [*own, *task.settings.items(), *method.settings.items()],
            seed=seed,
            total_env_steps=task.total_env_steps or self.total_env_steps,
            threads=self.threads,
            log_interval=self.log_interval,
        )
        return StudyRun(
            folder=f"{_slug(task_name)}-{_slug(method_name)}-{seed}",
            task=task_name,
            method=method_name,
            config=replace(config, total_env_steps=_budget(config)),
        )


def _budget(config: RunConfig) -> int:
    """The budget of a run, which is the task's if none is given."""
    if config.total_env_steps is not None:
        return config.total_env_steps
    kwargs = {"algorithm": "PPO", **id_kwargs(config.id), **config.env_kwargs}
    known = {name: kwargs[name] for name in ("algorithm", "task", "env_id") if name in kwargs}
    return get_settings(
        **{"task": None, **known}, starting_point=kwargs.get("settings", "paper")
    ).total_env_steps


def _repeated(items: Sequence[Any]) -> list[Any]:
    """What is there more than once, in order."""
    return sorted(item for item, times in Counter(items).items() if times > 1)


def short_name(id_: str) -> str:
    """An id without what all ids share.

    Example:
        >>> short_name("HyperRL-PPO-Hopper-v0")
        'PPO-Hopper'
    """
    return re.sub(r"-v\d+$", "", id_.rpartition(":")[2]).removeprefix("HyperRL-")


def _slug(name: str) -> str:
    """A name as a part of a folder's name."""
    return re.sub(r"[^\w.+=,-]+", "_", name).strip("_") or "unnamed"
