"""Inner environments and Hyper-RL environments that several benchmarks use."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from stable_baselines3.common.vec_env import VecEnv

from hyperrl_env import HyperRLEnv
from hyperrl_env.inner_envs.make import make_inner_envs


def half_cheetah(n_envs: int = 1) -> VecEnv:
    """HalfCheetah, normalised."""
    return make_inner_envs("HalfCheetah-v5", env_kwargs={}, n_envs=n_envs, normalize=True, gamma=0.99)


def hyper_rl(id_: str, **keywords: Any) -> HyperRLEnv:
    """A Hyper-RL environment without its wrappers."""
    env = gym.make(id_, **keywords).unwrapped
    assert isinstance(env, HyperRLEnv)
    return env
