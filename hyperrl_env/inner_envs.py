"""The inner environments: what the inner learner trains on, vectorised the way SB3 takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

# Where Gymnasium keeps the environments that need one of its extras.
_EXTRAS = {
    "gymnasium.envs.mujoco": "mujoco",
    "gymnasium.envs.box2d": "box2d",
    "gymnasium.envs.classic_control": "classic-control",
    "gymnasium.envs.toy_text": "toy-text",
}


def make_inner_envs(
    env: str | Callable[..., gym.Env[Any, Any]],
    *,
    env_kwargs: Mapping[str, Any],
    n_envs: int,
    normalize: bool,
    gamma: float,
) -> VecEnv:
    """Builds the inner environments, each with SB3's Monitor, stepped one after the other.

    Args:
        env: A Gymnasium id, or a callable that returns a new environment at each call.
        env_kwargs: Keyword arguments of each environment.
        n_envs: How many.
        normalize: Whether to wrap them in VecNormalize (observations and rewards, clipped at 10).
        gamma: Discount of the return whose spread scales the rewards.

    Raises:
        gymnasium.error.DependencyNotInstalled: The environment needs a package that is missing;
            the message names the extra that brings it.
        gymnasium.error.Error: Gymnasium does not know the id.
        ValueError: n_envs below 1, or normalisation of observations that are not numbers.
    """
    if n_envs < 1:
        raise ValueError(f"n_envs must be at least 1, not {n_envs}.")
    try:
        envs = make_vec_env(env, n_envs=n_envs, env_kwargs=dict(env_kwargs))
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise gym.error.DependencyNotInstalled(_missing_extra(env, error)) from error
    if not normalize:
        return envs
    if not isinstance(envs.observation_space, gym.spaces.Box | gym.spaces.Dict):
        envs.close()
        raise ValueError(f"normalize needs Box observations, not {envs.observation_space}: give False.")
    return VecNormalize(envs, gamma=gamma)


def _missing_extra(env: str | Callable[..., Any], error: Exception) -> str:
    if isinstance(env, str):
        entry_point = gym.spec(env).entry_point
        for module, extra in _EXTRAS.items():
            if isinstance(entry_point, str) and entry_point.startswith(module):
                return f'{env!r} needs an extra: pip install "gymnasium[{extra}]" (not installed: {error})'
    return f"The inner environment needs a package that is not installed: {error}"
