"""The tasks: inner environments that have settings of their own, and their names in the ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hyperrl_env.inner_envs.atari import game_names

Family = Literal["mujoco", "box2d", "classic", "atari", "generic"]


@dataclass(frozen=True)
class Task:
    """An inner environment that has settings of its own.

    Attributes:
        name: The task's name in the ids.
        env_id: Its Gymnasium id.
        family: Which simulator it runs on; settings that the paper shares go by family, and so
            does the preprocessing: that of Atari is in `atari.py`.
    """

    name: str
    env_id: str
    family: Family = "generic"


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("HalfCheetah", "HalfCheetah-v5", "mujoco"),
        Task("Hopper", "Hopper-v5", "mujoco"),
        Task("Walker2d", "Walker2d-v5", "mujoco"),
        Task("Swimmer", "Swimmer-v5", "mujoco"),
        Task("Ant", "Ant-v5", "mujoco"),
        Task("Humanoid", "Humanoid-v5", "mujoco"),
        Task("InvertedDoublePendulum", "InvertedDoublePendulum-v5", "mujoco"),
        Task("BipedalWalker", "BipedalWalker-v3", "box2d"),
        Task("LunarLanderContinuous", "LunarLanderContinuous-v3", "box2d"),
        Task("MountainCarContinuous", "MountainCarContinuous-v0", "classic"),
        Task("MountainCar", "MountainCar-v0", "classic"),
        Task("CartPole", "CartPole-v1", "classic"),
        Task("Pendulum", "Pendulum-v1", "classic"),
        *(Task(game, f"ALE/{game}-v5", "atari") for game in game_names()),
    )
}
