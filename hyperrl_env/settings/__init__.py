"""Where a run starts from: the settings of every algorithm on every task, by their source."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from hyperrl_env.checks import check_choice, suggestion
from hyperrl_env.presets import get_search_space
from hyperrl_env.settings.base import Settings
from hyperrl_env.settings.paper import PAPER
from hyperrl_env.settings.zoo import ZOO
from hyperrl_env.tasks import TASKS

StartingPoint = Literal["paper", "zoo", "sb3"]

SETTINGS: dict[tuple[str, str], Settings] = dict(PAPER)

# For any environment of the user's: Stable-Baselines3's own settings, and what the paper schedules.
GENERIC_SETTINGS: Mapping[str, Settings] = {
    "PPO": Settings(search_space=get_search_space("ppo-mujoco")),
    "A2C": Settings(search_space=get_search_space(["learning_rate"])),
    "ACKTR": Settings(search_space=get_search_space("acktr"), source="this project's ACKTR's defaults"),
}


def get_settings(
    algorithm: str,
    task: str | None,
    starting_point: StartingPoint = "paper",
    env_id: str | None = None,
) -> Settings:
    """The settings that a run starts from.

    Args:
        algorithm: "PPO", "A2C" or "ACKTR".
        task: A name of `TASKS`. None: an inner environment of the user's.
        starting_point: "paper": the task's own (Stable-Baselines3's defaults without a task). "zoo":
            RL Baselines3 Zoo's tuned values. "sb3": Stable-Baselines3's defaults, with the task's budget.
        env_id: The inner environment's Gymnasium id, by whose name the Zoo is searched without a task.

    Raises:
        ValueError: Unknown algorithm, task or starting point, or no settings in the Zoo; the message lists
            what there is.
    """
    check_choice("algorithm", algorithm, tuple(GENERIC_SETTINGS))
    check_choice("starting point", starting_point, get_args(StartingPoint))
    if task is not None and task not in TASKS:
        names = [name for name, known in TASKS.items() if known.family != "atari"]
        raise ValueError(
            f"Unknown task {task!r}.{suggestion(task, TASKS)} Valid tasks: {', '.join(names)}, every Atari "
            "game by its name in ale-py (as 'Pong'), or None with an env_id."
        )
    if starting_point == "zoo":
        if task is not None:
            return _of_zoo(algorithm, task, [name for name in TASKS if (algorithm, name) in ZOO])
        # Games of the user's are not preprocessed, so the Zoo's settings do not fit them.
        names = [n for a, n in ZOO if a == algorithm and (n not in TASKS or TASKS[n].family != "atari")]
        return replace(_of_zoo(algorithm, env_id, names), family="generic")
    generic = GENERIC_SETTINGS[algorithm]
    if task is None:
        return generic
    if (algorithm, task) not in SETTINGS:
        others = ", ".join(a for a, t in SETTINGS if t == task)
        raise ValueError(f"The task {task!r} has no settings for {algorithm}. It has: {others}.")
    own = SETTINGS[algorithm, task]
    if starting_point == "paper":
        return own
    return replace(own, learner_kwargs={}, n_envs=1, normalize=False, source=generic.source)


def _of_zoo(algorithm: str, env: str | None, names: Sequence[str]) -> Settings:
    """The Zoo's settings for a task or an id of Gymnasium's, which must be one of these names."""
    if env is None:
        raise ValueError("settings='zoo' needs the id of an inner environment: give env_id.")
    # my_module:Hopper-v5
    name = re.sub(r"-v\d+$", "", env.rpartition(":")[2])
    if name not in names:
        own = [n for n in names if n not in TASKS or TASKS[n].family != "atari"]
        games = " and Atari games" * (len(own) < len(names))
        has = f"It has: {', '.join(own)}{games}." if names else "It has PPO and A2C."
        raise ValueError(
            f"RL Baselines3 Zoo has no settings for {algorithm} on {name}. {has} Other starting points are "
            "settings='paper' and settings='sb3'."
        )
    return ZOO[algorithm, name]


__all__ = ["GENERIC_SETTINGS", "SETTINGS", "ZOO", "Settings", "StartingPoint", "get_settings"]
