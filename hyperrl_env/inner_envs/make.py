"""The inner environments: what the inner learner trains on, vectorised the way SB3 takes them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import gymnasium as gym
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from hyperrl_env.checks import check_at_least, check_choice
from hyperrl_env.inner_envs.atari import make_atari_envs
from hyperrl_env.inner_envs.envpool import make_pool
from hyperrl_env.inner_envs.spaces import with_usable_spaces

VecBackend = Literal["gymnasium", "envpool"]

# Where Gymnasium keeps the environments that need one of its extras.
_EXTRAS = {
    "gymnasium.envs.mujoco": "mujoco",
    "gymnasium.envs.box2d": "box2d",
    "gymnasium.envs.classic_control": "classic-control",
    "gymnasium.envs.toy_text": "toy-text",
}
_OWN_EXTRAS = ("atari", "box2d", "envpool")


def make_inner_envs(
    env: str | Callable[..., gym.Env[Any, Any]],
    *,
    env_kwargs: Mapping[str, Any],
    n_envs: int,
    normalize: bool,
    gamma: float,
    atari: bool = False,
    vec_backend: VecBackend = "gymnasium",
) -> VecEnv:
    """Builds the inner environments, whose infos hold the records of SB3's Monitor.

    Args:
        env: A Gymnasium id, or a callable that returns a new environment at each call.
        env_kwargs: Keyword arguments of each environment.
        n_envs: How many.
        normalize: Whether to wrap them in VecNormalize (observations and rewards, clipped at 10).
        gamma: Discount of the return whose spread scales the rewards.
        atari: Whether `env` is an Atari game to preprocess, as `make_atari_envs` does.
        vec_backend: "gymnasium": Gymnasium's own environments, stepped one after the other.
            "envpool": EnvPool's simulators in C++, stepped together.

    Raises:
        gymnasium.error.DependencyNotInstalled: The environment needs a package that is missing;
            the message names the extra that brings it.
        gymnasium.error.Error: Gymnasium does not know the id.
        ValueError: An `n_envs` that is not a whole number of at least 1, spaces that no policy of SB3's
            can use, normalisation of observations that are not numbers or of a preprocessed game, an
            unknown `vec_backend`, or an environment that EnvPool does not have.
    """
    check_at_least("n_envs", n_envs, 1)
    check_choice("vec_backend", vec_backend, get_args(VecBackend))
    if atari and normalize:
        raise ValueError(
            "normalize must be False on an Atari task: rewards are clipped, and the policy scales images."
        )
    try:
        if vec_backend == "envpool":
            envs: VecEnv = make_pool(env, env_kwargs=env_kwargs, n_envs=n_envs, atari=atari)
        elif atari:
            assert isinstance(env, str)
            envs = make_atari_envs(env, env_kwargs=env_kwargs, n_envs=n_envs)
        else:
            # SB3 asks an id for pictures, and Gymnasium warns if there are none.
            make = functools.partial(gym.make, env) if isinstance(env, str) else env
            envs = make_vec_env(
                make, n_envs=n_envs, env_kwargs=dict(env_kwargs), wrapper_class=with_usable_spaces
            )
    except (gym.error.DependencyNotInstalled, gym.error.NamespaceNotFound, ImportError) as error:
        if isinstance(error, gym.error.NamespaceNotFound) and not _is_atari(env):
            raise
        raise gym.error.DependencyNotInstalled(_missing_extra(env, error)) from error
    if not normalize:
        return envs
    space = envs.observation_space
    entries = space.spaces.values() if isinstance(space, gym.spaces.Dict) else (space,)
    if not all(isinstance(entry, gym.spaces.Box) for entry in entries):
        envs.close()
        raise ValueError(f"normalize needs Box observations, not {space}: give False.")
    return VecNormalize(envs, gamma=gamma)


def _is_atari(env: str | Callable[..., Any]) -> bool:
    """Whether an id is of ale-py's namespace, which Gymnasium does not know without it."""
    return isinstance(env, str) and env.rpartition(":")[2].startswith("ALE/")


def _missing_extra(env: str | Callable[..., Any], error: Exception) -> str:
    # Gymnasium's own words advise another way of installing.
    missing = error.__cause__ or error
    what, extra = repr(env), _extra(env)
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "envpool":
        what, extra = "vec_backend='envpool'", "envpool"
    if extra is None:
        return f"The inner environment needs a package that is not installed: {missing}"
    if extra in _OWN_EXTRAS:
        where, packages = "in a checkout of Hyper-RL, ", f"--constraint constraints.txt '.[{extra}]'"
    else:
        where, packages = "", f"'gymnasium[{extra}]'"
    return f"{what} needs an extra: {where}run `python -m pip install {packages}` (missing: {missing})"


def _extra(env: str | Callable[..., Any]) -> str | None:
    """The extra that brings the packages of an environment; None if it is not known."""
    if _is_atari(env):
        return "atari"
    id_ = env.rpartition(":")[2] if isinstance(env, str) else None
    entry_point = next((s.entry_point for s in gym.registry.values() if id_ in (s.id, s.name)), None)
    if not isinstance(entry_point, str):
        return None
    return next((extra for module, extra in _EXTRAS.items() if entry_point.startswith(module)), None)
