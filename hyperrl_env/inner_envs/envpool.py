"""Inner environments on EnvPool: simulators in C++, all stepped in one call, as an SB3 VecEnv.

EnvPool (Weng et al. 2022) is an optional extra and is imported only when it is asked for.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from hyperrl_env.inner_envs.atari import (
    FRAME_SKIP,
    FRAME_STACK,
    NOOP_MAX,
    RAW_REWARD,
    SCREEN_SIZE,
    game_kwargs,
    make_atari_envs,
)

# The modules of EnvPool that write Gymnasium's simulators anew, from which version of theirs on.
_OLDEST_VERSION = {"envpool.classic_control": 0, "envpool.box2d": 0, "envpool.mujoco.gym": 4}
# EnvPool's names for what `make_atari_envs` does.
_PREPROCESSING = {
    "noop_max": NOOP_MAX,
    "frame_skip": FRAME_SKIP,
    "stack_num": FRAME_STACK,
    "img_height": SCREEN_SIZE,
    "img_width": SCREEN_SIZE,
    "episodic_life": True,
    "reward_clip": True,
}


class PoolStep(NamedTuple):
    """What one step of all N environments gave.

    Attributes:
        observations: Of the new episode if one ended, (N, ...).
        rewards: (N,), float32.
        dones: Whether an episode ended, (N,).
        time_limits: Whether it was a time limit that ended it, (N,).
        last_observations: By environment, the last of every episode that ended.
        episodes: By environment, Monitor's record of every episode that ended.
        raw_rewards: Before clipping, (N,), float32.
    """

    observations: NDArray[Any]
    rewards: NDArray[np.float32]
    dones: NDArray[np.bool_]
    time_limits: NDArray[np.bool_]
    last_observations: dict[int, NDArray[Any]]
    episodes: dict[int, dict[str, Any]]
    raw_rewards: NDArray[np.float32]


class EnvPoolVecEnv(VecEnv):
    """A pool of EnvPool's environments, to SB3's conventions.

    EnvPool starts a new episode in the step after an episode's end, and ignores that step's action.
    Here it happens at once, as SB3 wants it: only the environments that are done are stepped again.
    `info` holds `terminal_observation`, `TimeLimit.truncated` and, with what SB3's Monitor would
    record, `episode`. If an episode reaches its goal in the very step of the time limit, EnvPool
    reports the time limit.

    EnvPool takes its seeds when a pool is made: `reset` after `seed` makes a new one. A pool has as many
    threads as Torch has then, and no more than environments.

    Args:
        env_id: EnvPool's id.
        config: EnvPool's keyword arguments beside number, threads and seeds.
        n_envs: How many environments.
        observation_space: Of one environment.
        action_space: Of one environment.
    """

    _frames_per_step = 1

    def __init__(
        self,
        env_id: str,
        config: Mapping[str, Any],
        n_envs: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
    ) -> None:
        self._env_id, self._config = env_id, dict(config)
        self._pool: Any = None
        self.render_mode = None
        super().__init__(n_envs, observation_space, action_space)

    def reset(self) -> NDArray[Any]:
        """Starts all episodes; on new streams of random numbers after `seed`."""
        if self._pool is None or self._seeds[0] is not None:
            self._make_pool()
        observations, _ = self._pool.reset()
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._started = time.time()
        self._reset_seeds()
        self._reset_options()
        return self._as_observations(observations)

    def advance(self, actions: NDArray[Any]) -> PoolStep:
        """Steps all environments; if an episode ends, a new one begins.

        Args:
            actions: (N, ...).
        """
        actions = np.asarray(actions, self._action_dtype)
        observations, rewards, terminated, truncated, info = self._pool.step(actions)
        observations = self._as_observations(observations)
        rewards = rewards.astype(np.float32)
        raw_rewards, over = self._scores(rewards, terminated, truncated, info)
        dones = terminated | truncated
        self._returns += raw_rewards
        self._lengths += 1
        last_observations: dict[int, NDArray[Any]] = {}
        episodes: dict[int, dict[str, Any]] = {}
        if dones.any():
            done = np.flatnonzero(dones).astype(np.int32)
            last_observations = {int(i): observations[i].copy() for i in done}
            episodes = {int(i): self._record(int(i)) for i in np.flatnonzero(over)}
            first, *_, new = self._pool.step(actions[done], done)
            observations[new["env_id"]] = self._as_observations(first)
        return PoolStep(observations, rewards, dones, truncated, last_observations, episodes, raw_rewards)

    def step_async(self, actions: NDArray[Any]) -> None:
        """See `VecEnv.step_async`."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """See `VecEnv.step_wait`."""
        step = self.advance(self._actions)
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": bool(cut)} for cut in step.time_limits]
        for i, observation in step.last_observations.items():
            infos[i]["terminal_observation"] = observation
        for i, episode in step.episodes.items():
            infos[i]["episode"] = episode
        if step.raw_rewards is not step.rewards:
            for info, reward in zip(infos, step.raw_rewards, strict=True):
                info[RAW_REWARD] = float(reward)
        return step.observations, step.rewards, step.dones, infos

    def close(self) -> None:
        """Closes the pool."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        """Whether `info` holds what this wrapper would add: true of SB3's Monitor alone."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """See `VecEnv.get_attr`.

        Raises:
            AttributeError: For anything but the render mode, None: the simulators are not in Python.
        """
        if attr_name != "render_mode":
            raise AttributeError(f"EnvPool's environments are in C++: they have no attribute {attr_name!r}.")
        return [None for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """See `VecEnv.set_attr`.

        Raises:
            AttributeError: Always: the simulators are not in Python.
        """
        raise AttributeError(f"EnvPool's environments are in C++: {attr_name!r} cannot be set.")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """See `VecEnv.env_method`.

        Raises:
            AttributeError: Always: the simulators are not in Python.
        """
        raise AttributeError(f"EnvPool's environments are in C++: they have no method {method_name!r}.")

    def _make_pool(self) -> None:
        import envpool

        self.close()
        seeds: NDArray[Any] = np.random.SeedSequence().generate_state(self.num_envs)
        if self._seeds[0] is not None:
            seeds = np.asarray(self._seeds, np.int64)
        self._pool = envpool.make_gymnasium(
            self._env_id,
            num_envs=self.num_envs,
            # What they compute does not depend on it: every environment is one thread's at a time, and
            # has its place in the results.
            num_threads=min(torch.get_num_threads(), self.num_envs),
            env_seed=seeds.astype(np.int32),  # signed: the same bits
            **self._config,
        )
        with warnings.catch_warnings():
            # EnvPool makes its spaces when first asked for them, and then complains of their bounds.
            warnings.simplefilter("ignore")
            self._pool.observation_space  # noqa: B018
        self._action_dtype = self._pool.spec.action_array_spec["action"].dtype

    def _as_observations(self, observations: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(observations, self.observation_space.dtype)

    def _scores(
        self,
        rewards: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        info: Mapping[str, Any],
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The raw rewards, and whose record is complete."""
        return rewards, terminated | truncated

    def _record(self, i: int) -> dict[str, Any]:
        """Monitor's record of environment i, which then begins anew."""
        record = {
            "r": round(float(self._returns[i]), 6),
            "l": int(self._lengths[i]) * self._frames_per_step,
            "t": round(time.time() - self._started, 6),
        }
        self._returns[i], self._lengths[i] = 0.0, 0
        return record


class AtariPoolVecEnv(EnvPoolVecEnv):
    """A pool of Atari games with EnvPool's own preprocessing, set as that of `make_atari_envs`.

    A lost life ends an episode for the learner; records count the game's raw score and, at four a
    step, its frames. Two things differ from SB3's preprocessing: after a lost life there are up to 30
    no-ops instead of one, and a new episode's stack begins with copies of its first screen, or after
    a lost life with the screens before it, instead of black ones.
    """

    _frames_per_step = FRAME_SKIP

    def _scores(
        self,
        rewards: NDArray[np.float32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        info: Mapping[str, Any],
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return info["reward"].astype(np.float32), info["terminated"].astype(bool) | truncated


def make_pool(
    env: str | Callable[..., gym.Env[Any, Any]], *, env_kwargs: Mapping[str, Any], n_envs: int, atari: bool
) -> EnvPoolVecEnv:
    """Builds a pool of one of Gymnasium's environments.

    Args:
        env: Gymnasium's id; a callable cannot be in a pool.
        env_kwargs: Keyword arguments of each environment, those that EnvPool shares with Gymnasium.
        n_envs: How many.
        atari: Whether it is a game to preprocess.

    Raises:
        ImportError: EnvPool, or what the environment needs in Gymnasium, is missing.
        ValueError: EnvPool does not have this environment, or not as Gymnasium does; the message
            says what it has.
    """
    from envpool.registration import registry

    if not isinstance(env, str):
        raise ValueError("EnvPool takes no env_fn: give an env_id, or vec_backend='gymnasium'.")
    # Names of games differ in capitals: TicTacToe3D.
    games = {f"ale/{id_.lower()}": id_ for id_ in registry.specs}
    pool_id = games.get(env.lower()) if atari else env if env in pool_ids() else None
    if pool_id is None:
        raise ValueError(
            f"EnvPool has no {env!r} like Gymnasium's; it has {', '.join(pool_ids())} and, by their task ids "
            f"(as HyperRL-PPO-Pong-v0), Atari games. Give one of these, or vec_backend='gymnasium'."
        )
    keywords = _keywords(env, registry.make_spec(pool_id).config._fields, atari)
    if unknown := sorted(set(env_kwargs) - set(keywords)):
        raise ValueError(f"On EnvPool {env!r} takes no env_kwargs {unknown}, only {keywords}.")
    config = {**env_kwargs} if not atari else {**_PREPROCESSING, **game_kwargs(env), **env_kwargs}
    one = make_atari_envs(env, env_kwargs=env_kwargs, n_envs=1) if atari else gym.make(env, **env_kwargs)
    one.close()
    return (AtariPoolVecEnv if atari else EnvPoolVecEnv)(
        pool_id, config, n_envs, one.observation_space, one.action_space
    )


def pool_ids() -> list[str]:
    """Gymnasium's ids that EnvPool has too, Atari aside."""
    from envpool.registration import registry

    return [
        id_
        for id_, (module, *_) in registry.specs.items()
        if id_ in gym.registry and (gym.spec(id_).version or 0) >= _OLDEST_VERSION.get(module, math.inf)
    ]


def _keywords(env: str, of_pool: Iterable[str], atari: bool) -> list[str]:
    """The keyword arguments that Gymnasium's environment and EnvPool's share."""
    entry_point: Any = gym.spec(env).entry_point
    own = signature(load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point).parameters
    # One counts a game's frames, the other its steps.
    time_limit = [] if atari else ["max_episode_steps"]
    return [*(name for name in of_pool if name in own), *time_limit]
