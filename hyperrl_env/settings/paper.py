"""The paper's settings of every (algorithm, task), and where they come from.

"paper" is Le et al., "Episodic Policy Gradient Training", AAAI 2022, with the settings of its
released code where the text leaves them open. "RL Zoo3" is the stable-baselines3 zoo's
hyperparameter files. What neither settles is this project's choice, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stable_baselines3.common.utils import LinearSchedule

from hyperrl_env.presets import get_search_space
from hyperrl_env.settings.base import Settings
from hyperrl_env.tasks import TASKS, Task


def _ppo_kwargs() -> dict[str, Any]:
    return {
        "learning_rate": LinearSchedule(3e-4, 0.0, 1.0),
        "n_steps": 2048,
        "batch_size": 64,
        "n_epochs": 10,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "clip_range": 0.2,
        "clip_range_vf": 0.2,
        "ent_coef": 0.0,
        "vf_coef": 0.5,
        "max_grad_norm": 0.5,
    }


def _a2c_kwargs() -> dict[str, Any]:
    return {
        "learning_rate": LinearSchedule(7e-4, 0.0, 1.0),
        "n_steps": 5,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "ent_coef": 0.01,
        "vf_coef": 0.5,
        "max_grad_norm": 0.5,
        "rms_prop_eps": 1e-5,
    }


_PPO_PAPER = "paper, MuJoCo PPO"
_PPO_OURS = "learner and search space: paper, MuJoCo PPO; budget: RL Zoo3"
_ACKTR_ZOO = "Stable-Baselines2's zoo; normalisation, budget: this project's choice"
_ACKTR_BOX2D = "after Stable-Baselines2's zoo; gamma, GAE lambda, budget: this project's choice"
_ACKTR_OURS = "learner: Stable-Baselines2's ACKTR; environments, budget: this project's choice"
_A2C_PAPER = "paper, A2C"
_A2C_OURS = "learner: paper, A2C; number of environments, budget: this project's choice"

# Task: budget of a PPO run, source.
_PPO_BUDGETS: Mapping[str, tuple[int, str]] = {
    "HalfCheetah": (1_000_000, _PPO_PAPER),
    "Hopper": (1_000_000, _PPO_PAPER),
    "Walker2d": (1_000_000, _PPO_PAPER),
    "Swimmer": (1_000_000, _PPO_PAPER),
    "Ant": (10_000_000, _PPO_PAPER),
    "Humanoid": (10_000_000, _PPO_PAPER),
    "InvertedDoublePendulum": (1_000_000, "paper, Table 2"),
    "BipedalWalker": (1_000_000, "paper, Table 2"),
    "LunarLanderContinuous": (1_000_000, "paper, Table 2"),
    "MountainCarContinuous": (20_000, _PPO_OURS),
    "MountainCar": (1_000_000, _PPO_OURS),
    "CartPole": (100_000, _PPO_OURS),
    "Pendulum": (100_000, _PPO_OURS),
}

# Task: budget of an A2C run, inner environments, preset, source.
_A2C_BUDGETS: Mapping[str, tuple[int, int, str, str]] = {
    "HalfCheetah": (5_000_000, 16, "a2c-mujoco", "paper, Table 1"),
    "Hopper": (5_000_000, 16, "a2c-mujoco", "paper, Table 1"),
    "Walker2d": (5_000_000, 16, "a2c-mujoco", "paper, Table 1"),
    "Ant": (5_000_000, 16, "a2c-mujoco", "paper, Table 1"),
    "Swimmer": (5_000_000, 16, "a2c-mujoco", "as the tasks of the paper's Table 1"),
    "Humanoid": (5_000_000, 16, "a2c-mujoco", "as the tasks of the paper's Table 1"),
    "InvertedDoublePendulum": (5_000_000, 16, "a2c-mujoco", "as the tasks of the paper's Table 1"),
    "BipedalWalker": (4_000_000, 128, "a2c-bipedalwalker", _A2C_PAPER),
    "LunarLanderContinuous": (4_000_000, 128, "a2c-bipedalwalker", "as BipedalWalker in the paper, A2C"),
    "MountainCarContinuous": (20_000, 1, "a2c-mountaincar", _A2C_PAPER),
    "MountainCar": (20_000, 1, "a2c-mountaincar", "as MountainCarContinuous in the paper, A2C"),
    "CartPole": (500_000, 8, "a2c-bipedalwalker", _A2C_OURS),
    "Pendulum": (1_000_000, 8, "a2c-bipedalwalker", _A2C_OURS),
}


def _acktr_kwargs() -> dict[str, Any]:
    return {
        "learning_rate": LinearSchedule(0.25, 0.0, 1.0),
        "n_steps": 20,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "ent_coef": 0.0,
        "vf_coef": 0.5,
        "kl_clip": 0.001,
        "damping": 0.01,
        "momentum": 0.9,
        "stats_interval": 1,
        "inversion_interval": 10,
    }


# Task: budget of an ACKTR run, inner environments, learner settings that differ from `_acktr_kwargs`, source.
_ACKTR_ROWS: Mapping[str, tuple[int, int, Mapping[str, Any], str]] = {
    "HalfCheetah": (1_000_000, 16, {}, _ACKTR_OURS),
    "Hopper": (1_000_000, 16, {}, _ACKTR_OURS),
    "Walker2d": (1_000_000, 16, {}, _ACKTR_OURS),
    "Swimmer": (1_000_000, 16, {}, _ACKTR_OURS),
    "Ant": (10_000_000, 16, {}, _ACKTR_OURS),
    "Humanoid": (10_000_000, 16, {}, _ACKTR_OURS),
    "InvertedDoublePendulum": (1_000_000, 16, {}, _ACKTR_OURS),
    "BipedalWalker": (5_000_000, 16, {"ent_coef": 0.001}, _ACKTR_BOX2D),
    "LunarLanderContinuous": (1_000_000, 16, {"ent_coef": 0.001}, _ACKTR_BOX2D),
    "MountainCarContinuous": (1_000_000, 16, {"gae_lambda": 1.0}, _ACKTR_ZOO),
    "MountainCar": (1_000_000, 16, {"gae_lambda": 1.0}, _ACKTR_ZOO),
    "CartPole": (200_000, 8, {"gae_lambda": 1.0}, _ACKTR_ZOO),
    "Pendulum": (1_000_000, 8, {"gae_lambda": 1.0, "gamma": 0.95}, _ACKTR_ZOO),
}

# Atari: the policy, CnnPolicy by the observations, scales the images, and rewards are clipped, so that
# nothing is normalised. The paper trains for 20M steps (its script: 10M), 128 of 32 games in a phase,
# PPO for 4 epochs with Adam at 2.5e-4. PPO's clip, in the paper 0.1 to 0.2, and its 4 minibatches per
# epoch (128 * 32 / 4 samples each) are those of OpenAI Baselines on Atari, on which the paper's code
# builds. The values' clip is the paper's everywhere. A2C on Atari is not in the paper.
_PPO_ATARI = Settings(
    learner_kwargs={
        **_ppo_kwargs(),
        "learning_rate": LinearSchedule(2.5e-4, 0.0, 1.0),
        "n_steps": 128,
        "batch_size": 1024,
        "n_epochs": 4,
        "clip_range": 0.1,
        "ent_coef": 0.01,
    },
    total_env_steps=20_000_000,
    n_envs=32,
    search_space=get_search_space("ppo-atari"),
    source="paper, Atari PPO; clip, minibatches per epoch: OpenAI Baselines",
    family="atari",
)

_A2C_ATARI = Settings(
    learner_kwargs=_a2c_kwargs(),
    total_env_steps=20_000_000,
    n_envs=16,
    search_space=get_search_space("a2c-atari"),
    source="learner, environments: paper's code, A2C; budget, search space: as the paper's Atari",
    family="atari",
)

_ACKTR_ATARI = Settings(
    learner_kwargs={**_acktr_kwargs(), "n_steps": 128, "ent_coef": 0.01},
    total_env_steps=20_000_000,
    n_envs=32,
    search_space=get_search_space("acktr-atari"),
    source="paper, Atari ACKTR",
    family="atari",
)


def _ppo(task: Task) -> Settings:
    if task.family == "atari":
        return _PPO_ATARI
    budget, source = _PPO_BUDGETS[task.name]
    return Settings(_ppo_kwargs(), budget, 1, True, get_search_space("ppo-mujoco"), source, task.family)


def _a2c(task: Task) -> Settings:
    if task.family == "atari":
        return _A2C_ATARI
    budget, n_envs, preset, source = _A2C_BUDGETS[task.name]
    return Settings(_a2c_kwargs(), budget, n_envs, True, get_search_space(preset), source, task.family)


def _acktr(task: Task) -> Settings:
    if task.family == "atari":
        return _ACKTR_ATARI
    budget, n_envs, kwargs, source = _ACKTR_ROWS[task.name]
    kwargs = {**_acktr_kwargs(), **kwargs}
    return Settings(kwargs, budget, n_envs, True, get_search_space("acktr"), source, task.family)


_OF_TASK: Mapping[str, Callable[[Task], Settings]] = {"PPO": _ppo, "A2C": _a2c, "ACKTR": _acktr}

PAPER: Mapping[tuple[str, str], Settings] = {
    (algorithm, task.name): settings(task)
    for algorithm, settings in _OF_TASK.items()
    for task in TASKS.values()
}
