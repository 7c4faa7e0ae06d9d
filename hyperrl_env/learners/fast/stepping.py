"""Inner environments in an environment phase: stepped with as little around them as can be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from hyperrl_env.inner_envs.atari import RAW_REWARD
from hyperrl_env.inner_envs.envpool import AtariPoolVecEnv, EnvPoolVecEnv
from hyperrl_env.numeric.arrays import Floats


class Stepper(ABC):
    """Steps the simulators without SB3's overhead, and keeps what they say.

    Attributes:
        observations: Raw, the latest of every environment; of its new episode where one ended, (N, ...).
        rewards: Before normalisation, (T, N).
        raw_rewards: Before clipping, too, (T, N).
        dones: Whether an episode ended, (T, N).
        episodes: Monitor's records of the episodes that ended.
        successes: What environments with goals said at the ends of their episodes.
    """

    observations: NDArray[Any]

    def __init__(self, envs: VecEnv, n_steps: int) -> None:
        self.rewards: Floats = np.empty((n_steps, envs.num_envs), np.float32)
        self.raw_rewards: Floats = np.empty_like(self.rewards)
        self.dones: NDArray[np.bool_] = np.zeros((n_steps, envs.num_envs), dtype=bool)
        self.episodes: list[dict[str, Any]] = []
        self.successes: list[Any] = []

    @abstractmethod
    def step(self, t: int, actions: NDArray[Any]) -> list[tuple[int, NDArray[Any]]]:
        """Step t of every environment; returns those that a time limit cut, with their last observations.

        An environment may write its next observation into the same array: copy what is to be kept.
        """


class DummyStepper(Stepper):
    """The environments in a DummyVecEnv, stepped directly."""

    def __init__(self, dummy: DummyVecEnv, n_steps: int) -> None:
        super().__init__(dummy, n_steps)
        self.raw_rewards = self.rewards
        self._dummy = dummy
        space = dummy.observation_space
        self.observations = np.empty((dummy.num_envs, *(space.shape or ())), space.dtype)

    def step(self, t: int, actions: NDArray[Any]) -> list[tuple[int, NDArray[Any]]]:
        """See `Stepper.step`."""
        cut = []
        for i, env in enumerate(self._dummy.envs):
            observation, self.rewards[t, i], terminated, truncated, info = env.step(actions[i])
            if terminated or truncated:
                self.dones[t, i] = True
                if "episode" in info:
                    self.episodes.append(info["episode"])
                if "is_success" in info:
                    self.successes.append(info["is_success"])
                if truncated and not terminated:
                    cut.append((i, observation))
                observation, self._dummy.reset_infos[i] = env.reset()
            self.observations[i] = observation
        return cut


class PoolStepper(Stepper):
    """A pool, stepped without an info per environment."""

    def __init__(self, pool: EnvPoolVecEnv, n_steps: int) -> None:
        super().__init__(pool, n_steps)
        self._pool = pool

    def step(self, t: int, actions: NDArray[Any]) -> list[tuple[int, NDArray[Any]]]:
        """See `Stepper.step`."""
        step = self._pool.advance(actions)
        self.observations, self.rewards[t], self.dones[t] = step.observations, step.rewards, step.dones
        self.raw_rewards[t] = step.raw_rewards
        self.episodes += step.episodes.values()
        return [(i, last) for i, last in step.last_observations.items() if step.time_limits[i]]


class VecEnvStepper(Stepper):
    """Any other VecEnv, stepped as SB3 steps it; `info` says what has to be known."""

    def __init__(self, envs: VecEnv, n_steps: int) -> None:
        super().__init__(envs, n_steps)
        self._envs = envs

    def step(self, t: int, actions: NDArray[Any]) -> list[tuple[int, NDArray[Any]]]:
        """See `Stepper.step`."""
        observations, self.rewards[t], self.dones[t], infos = self._envs.step(actions)
        self.observations = cast(NDArray[Any], observations)
        self.raw_rewards[t] = self.rewards[t]
        cut = []
        for i, info in enumerate(infos):
            if RAW_REWARD in info:
                self.raw_rewards[t, i] = info[RAW_REWARD]
            if "episode" in info:
                self.episodes.append(info["episode"])
            if self.dones[t, i]:
                if "is_success" in info:
                    self.successes.append(info["is_success"])
                last = info.get("terminal_observation")
                if last is not None and info.get("TimeLimit.truncated", False):
                    cut.append((i, last))
        return cut


def make_stepper(envs: VecEnv, n_steps: int) -> Stepper:
    """The environments of a VecEnv, without VecNormalize, for a phase of T = `n_steps` steps."""
    if type(envs) is DummyVecEnv:
        return DummyStepper(envs, n_steps)
    if type(envs) in (EnvPoolVecEnv, AtariPoolVecEnv):
        return PoolStepper(cast(EnvPoolVecEnv, envs), n_steps)
    return VecEnvStepper(envs, n_steps)
