"""The ids: `HyperRL-{algorithm}-{task}-v0` for every task, `HyperRL-{algorithm}-v0` for the rest."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from importlib.metadata import entry_points

import gymnasium as gym

from hyperrl_env.checks import unknown
from hyperrl_env.settings import GENERIC_SETTINGS, SETTINGS, Settings
from hyperrl_env.tasks import TASKS, Task

_ENTRY_POINT = "hyperrl_env.env:HyperRLEnv"
_GROUP = "hyperrl.tasks"
# For a model of the user's.
MODEL_ID = "HyperRL-v0"


def register_envs() -> None:
    """Registers every id with Gymnasium."""
    _register(MODEL_ID, {"algorithm": None})
    for algorithm in GENERIC_SETTINGS:
        _register(f"HyperRL-{algorithm}-v0", {"algorithm": algorithm})
    for algorithm, task in SETTINGS:
        _register(_id(algorithm, task), {"algorithm": algorithm, "task": task})


def register_task(task: Task, settings: Mapping[str, Settings]) -> None:
    """Adds a task of yours, with an id per algorithm: `HyperRL-{algorithm}-{task.name}-v0`.

    The command line knows the ids if an installed package offers, by the entry point `hyperrl.tasks`, a
    function without arguments that calls this one. It is called while `hyperrl_env` is imported, so its
    module cannot import `agents`.

    Args:
        task: Name (letters, digits and "_"), Gymnasium id of the inner environment, family ("generic").
        settings: What a run starts from, by algorithm; at least one of "PPO", "A2C" and "ACKTR".

    Raises:
        ValueError: A name that is impossible or taken, no settings, or those of an unknown algorithm.
    """
    if not re.fullmatch(r"\w+", task.name):
        raise ValueError(f"A task's name must consist of letters, digits and '_', not {task.name!r}.")
    if task.name in TASKS:
        raise ValueError(f"The task {task.name!r} exists already: choose another name.")
    if not settings:
        raise ValueError(f"The task {task.name!r} needs the settings of at least one algorithm.")
    for algorithm in settings:
        if algorithm not in GENERIC_SETTINGS:
            raise ValueError(unknown("algorithm", algorithm, GENERIC_SETTINGS))
    TASKS[task.name] = task
    for algorithm, own in settings.items():
        SETTINGS[algorithm, task.name] = own
        _register(_id(algorithm, task.name), {"algorithm": algorithm, "task": task.name})


def load_tasks() -> None:
    """Registers the tasks of installed packages; one that cannot be used is left out, with a warning."""
    for entry_point in entry_points(group=_GROUP):
        try:
            entry_point.load()()
        # Another package's code can raise anything.
        except Exception as error:
            warnings.warn(
                f"The tasks of {entry_point.value} cannot be used: {type(error).__name__}: {error}. "
                "(Tasks are registered while hyperrl_env is imported: their module cannot import agents.)",
                stacklevel=2,
            )


def _id(algorithm: str, task: str) -> str:
    return f"HyperRL-{algorithm}-{task}-v0"


def _register(id_: str, kwargs: Mapping[str, str | None]) -> None:
    # Gymnasium's wrappers that watch the order of calls want a reset before all else, and do not know
    # `load`. The environment watches it itself, and its tests check what the checker would.
    gym.register(id_, _ENTRY_POINT, kwargs=dict(kwargs), order_enforce=False, disable_env_checker=True)


def env_ids() -> list[str]:
    """Every id that makes its inner learner itself, generic ones first: all but `HyperRL-v0`.

    Example:
        >>> "HyperRL-PPO-HalfCheetah-v0" in env_ids()
        True
    """
    return [
        *(f"HyperRL-{algorithm}-v0" for algorithm in GENERIC_SETTINGS),
        *(_id(algorithm, task) for algorithm, task in SETTINGS),
    ]
