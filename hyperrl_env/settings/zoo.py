"""The tuned settings of RL Baselines3 Zoo, as published in its `hyperparams/ppo.yml` and `a2c.yml`.

Read off the repository DLR-RM/rl-baselines3-zoo at the commits 208b6fd (ppo.yml) and c6c209e (a2c.yml). What
a row leaves open is Stable-Baselines3's default, as in the Zoo. A learning rate or clip range that the Zoo
writes as `lin_x` falls linearly from x to 0. MuJoCo's tasks have the versions 2 and 4 there, 5 here.

The Zoo has no ACKTR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.utils import LinearSchedule
from torch import nn

from hyperrl_env.presets import get_search_space
from hyperrl_env.settings.base import Settings
from hyperrl_env.tasks import TASKS

_PPO, _A2C = "RL Baselines3 Zoo, ppo.yml", "RL Baselines3 Zoo, a2c.yml"


def _linear(start: float) -> LinearSchedule:
    return LinearSchedule(start, 0.0, 1.0)


def _wide(log_std_init: float) -> dict[str, Any]:
    return {
        "log_std_init": log_std_init,
        "ortho_init": False,
        "activation_fn": nn.ReLU,
        "net_arch": {"pi": [256, 256], "vf": [256, 256]},
    }


def _ppo(
    total_env_steps: int, n_envs: int = 1, *, normalize: bool = True, limited: int = 0, **kwargs: Any
) -> Settings:
    """Settings of PPO; `limited` is the batch size of a row whose rollout is smaller than it."""
    note = f" (batch_size {limited} there; its rollout has {kwargs.get('batch_size')} samples)"
    return Settings(
        kwargs,
        total_env_steps,
        n_envs,
        normalize,
        get_search_space("ppo-mujoco"),
        _PPO + note * bool(limited),
    )


def _a2c(total_env_steps: int, n_envs: int = 1, *, normalize: bool = True, **kwargs: Any) -> Settings:
    return Settings(kwargs, total_env_steps, n_envs, normalize, get_search_space(["learning_rate"]), _A2C)


def _a2c_gsde(total_env_steps: int, n_envs: int, learning_rate: float, gamma: float) -> Settings:
    return _a2c(
        total_env_steps,
        n_envs,
        ent_coef=0.0,
        max_grad_norm=0.5,
        n_steps=8,
        gae_lambda=0.9,
        vf_coef=0.4,
        gamma=gamma,
        learning_rate=_linear(learning_rate),
        use_rms_prop=True,
        normalize_advantage=False,
        use_sde=True,
        policy_kwargs={"log_std_init": -2, "ortho_init": False},
    )


# By the name of the inner environment, without its version.
_PPO_ROWS: Mapping[str, Settings] = {
    "HalfCheetah": _ppo(
        1_000_000,
        batch_size=64,
        n_steps=512,
        gamma=0.98,
        learning_rate=2.0633e-05,
        ent_coef=0.000401762,
        clip_range=0.1,
        n_epochs=20,
        gae_lambda=0.92,
        max_grad_norm=0.8,
        vf_coef=0.58096,
        policy_kwargs=_wide(-2),
    ),
    "Hopper": _ppo(
        1_000_000,
        batch_size=32,
        n_steps=512,
        gamma=0.999,
        learning_rate=9.80828e-05,
        ent_coef=0.00229519,
        clip_range=0.2,
        n_epochs=5,
        gae_lambda=0.99,
        max_grad_norm=0.7,
        vf_coef=0.835671,
        policy_kwargs=_wide(-2),
    ),
    "Walker2d": _ppo(
        1_000_000,
        batch_size=32,
        n_steps=512,
        gamma=0.99,
        learning_rate=5.05041e-05,
        ent_coef=0.000585045,
        clip_range=0.1,
        n_epochs=20,
        gae_lambda=0.95,
        max_grad_norm=1,
        vf_coef=0.871923,
    ),
    "Swimmer": _ppo(
        1_000_000, 4, gamma=0.9999, n_steps=1024, batch_size=256, learning_rate=6e-4, gae_lambda=0.98
    ),
    "Ant": _ppo(1_000_000),
    "Humanoid": _ppo(
        10_000_000,
        batch_size=256,
        n_steps=512,
        gamma=0.95,
        learning_rate=3.56987e-05,
        ent_coef=0.00238306,
        clip_range=0.3,
        n_epochs=5,
        gae_lambda=0.9,
        max_grad_norm=2,
        vf_coef=0.431892,
        policy_kwargs=_wide(-2),
    ),
    "HumanoidStandup": _ppo(
        10_000_000,
        batch_size=32,
        n_steps=512,
        gamma=0.99,
        learning_rate=2.55673e-05,
        ent_coef=3.62109e-06,
        clip_range=0.3,
        n_epochs=20,
        gae_lambda=0.9,
        max_grad_norm=0.7,
        vf_coef=0.430793,
        policy_kwargs=_wide(-2),
    ),
    "InvertedDoublePendulum": _ppo(
        1_000_000,
        limited=512,
        batch_size=128,
        n_steps=128,
        gamma=0.98,
        learning_rate=0.000155454,
        ent_coef=1.05057e-06,
        clip_range=0.4,
        n_epochs=10,
        gae_lambda=0.8,
        max_grad_norm=0.5,
        vf_coef=0.695929,
    ),
    "InvertedPendulum": _ppo(
        1_000_000,
        limited=64,
        batch_size=32,
        n_steps=32,
        gamma=0.999,
        learning_rate=0.000222425,
        ent_coef=1.37976e-07,
        clip_range=0.4,
        n_epochs=5,
        gae_lambda=0.9,
        max_grad_norm=0.3,
        vf_coef=0.19816,
    ),
    "Reacher": _ppo(
        1_000_000,
        batch_size=32,
        n_steps=512,
        gamma=0.9,
        learning_rate=0.000104019,
        ent_coef=7.52585e-08,
        clip_range=0.3,
        n_epochs=5,
        gae_lambda=1.0,
        max_grad_norm=0.9,
        vf_coef=0.950368,
    ),
    "BipedalWalker": _ppo(
        5_000_000,
        32,
        n_steps=2048,
        batch_size=64,
        gae_lambda=0.95,
        gamma=0.999,
        n_epochs=10,
        ent_coef=0.0,
        learning_rate=3e-4,
        clip_range=0.18,
    ),
    "BipedalWalkerHardcore": _ppo(
        100_000_000,
        16,
        n_steps=2048,
        batch_size=64,
        gae_lambda=0.95,
        gamma=0.99,
        n_epochs=10,
        ent_coef=0.001,
        learning_rate=_linear(2.5e-4),
        clip_range=_linear(0.2),
    ),
    **dict.fromkeys(
        ("LunarLander", "LunarLanderContinuous"),
        _ppo(
            1_000_000,
            16,
            normalize=False,
            n_steps=1024,
            batch_size=64,
            gae_lambda=0.98,
            gamma=0.999,
            n_epochs=4,
            ent_coef=0.01,
        ),
    ),
    "MountainCarContinuous": _ppo(
        20_000,
        limited=256,
        batch_size=8,
        n_steps=8,
        gamma=0.9999,
        learning_rate=7.77e-05,
        ent_coef=0.00429,
        clip_range=0.1,
        n_epochs=10,
        gae_lambda=0.9,
        max_grad_norm=5,
        vf_coef=0.19,
        use_sde=True,
        policy_kwargs={"log_std_init": -3.29, "ortho_init": False},
    ),
    "MountainCar": _ppo(1_000_000, 16, n_steps=16, gae_lambda=0.98, gamma=0.99, n_epochs=4, ent_coef=0.0),
    "Acrobot": _ppo(1_000_000, 16, n_steps=256, gae_lambda=0.94, gamma=0.99, n_epochs=4, ent_coef=0.0),
    "CartPole": _ppo(
        100_000,
        8,
        normalize=False,
        n_steps=32,
        batch_size=256,
        gae_lambda=0.8,
        gamma=0.98,
        n_epochs=20,
        ent_coef=0.0,
        learning_rate=_linear(0.001),
        clip_range=_linear(0.2),
    ),
    "Pendulum": _ppo(
        100_000,
        4,
        normalize=False,
        n_steps=1024,
        gae_lambda=0.95,
        gamma=0.9,
        n_epochs=10,
        ent_coef=0.0,
        learning_rate=1e-3,
        clip_range=0.2,
        use_sde=True,
        sde_sample_freq=4,
    ),
}
_A2C_ROWS: Mapping[str, Settings] = {
    **dict.fromkeys(("HalfCheetah", "Hopper", "Walker2d", "Ant"), _a2c(1_000_000)),
    "Humanoid": _a2c(2_000_000),
    "Swimmer": _a2c(1_000_000, gamma=0.9999),
    "CartPole": _a2c(500_000, 8, normalize=False, ent_coef=0.0),
    "LunarLander": _a2c(
        200_000,
        8,
        normalize=False,
        gamma=0.995,
        n_steps=5,
        learning_rate=_linear(0.00083),
        ent_coef=0.00001,
    ),
    "MountainCar": _a2c(1_000_000, 16, ent_coef=0.0),
    "Acrobot": _a2c(500_000, 16, ent_coef=0.0),
    "MountainCarContinuous": _a2c(
        100_000,
        4,
        n_steps=100,
        ent_coef=0.0,
        use_sde=True,
        sde_sample_freq=16,
        policy_kwargs={"log_std_init": 0.0, "ortho_init": False},
    ),
    "Pendulum": _a2c_gsde(1_000_000, 8, 7e-4, gamma=0.9),
    "LunarLanderContinuous": _a2c_gsde(5_000_000, 4, 7e-4, gamma=0.99),
    "BipedalWalker": _a2c_gsde(5_000_000, 16, 0.00096, gamma=0.99),
}
_ATARI: Mapping[str, Settings] = {
    "PPO": Settings(
        {
            "n_steps": 128,
            "n_epochs": 4,
            "batch_size": 256,
            "learning_rate": _linear(2.5e-4),
            "clip_range": _linear(0.1),
            "vf_coef": 0.5,
            "ent_coef": 0.01,
        },
        10_000_000,
        n_envs=8,
        search_space=get_search_space("ppo-atari"),
        source=_PPO,
        family="atari",
    ),
    "A2C": Settings(
        {
            "ent_coef": 0.01,
            "vf_coef": 0.25,
            "policy_kwargs": {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-5}},
        },
        10_000_000,
        n_envs=16,
        search_space=get_search_space("a2c-atari"),
        source=_A2C,
        family="atari",
    ),
}
_ROWS: Mapping[str, Mapping[str, Settings]] = {"PPO": _PPO_ROWS, "A2C": _A2C_ROWS}

ZOO: Mapping[tuple[str, str], Settings] = {
    (algorithm, name): replace(settings, family=TASKS[name].family if name in TASKS else "generic")
    for algorithm, rows in _ROWS.items()
    for name, settings in rows.items()
} | {
    (algorithm, task.name): settings
    for algorithm, settings in _ATARI.items()
    for task in TASKS.values()
    if task.family == "atari"
}
