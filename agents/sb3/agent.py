"""Drives an SB3 algorithm as its `learn()` does, one step at a time."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import BaseBuffer

from agents.base import HyperAgent, Observation
from agents.sb3.algorithms import chosen_space, make_algorithm
from agents.sb3.state import (
    algorithm_state,
    buffer_state,
    check_buffer,
    load_algorithm_state,
    load_buffer_state,
)
from hyperrl_env.numeric.random_state import RandomState


class Outcome(NamedTuple):
    """The outcome of a step, as SB3's loops get it from a vector environment with one environment.

    Attributes:
        next_obs: The hyper-state after the step, (1, D).
        reward: The hyper-reward, (1,).
        done: Whether the learning episode ended or was truncated, (1,).
        infos: SB3's info, in a list of length 1.
    """

    next_obs: NDArray[np.float32]
    reward: NDArray[np.float32]
    done: NDArray[np.bool_]
    infos: list[dict[str, Any]]


class SB3Agent(HyperAgent):
    """Drives an SB3 algorithm step by step, with the same results, to the bit, as its own `learn()`.

    Algorithms for discrete actions choose joint bins in every action mode of the environment;
    algorithms for continuous actions need `action_mode="box"`; algorithms for both follow the mode.
    Schedules (exploration, learning rate) follow the budget of the inner run. The algorithm draws from its
    own generators.

    If the environment is reset in the middle of a learning episode, the current rollout ends, as it does
    between two calls of `learn()`: an on-policy rollout is dropped, and the last transition in a replay
    buffer counts as truncated.

    Args:
        env: See `HyperAgent`.
        seed: Seeds the algorithm.
        algorithm: The SB3 class.
        algorithm_kwargs: SB3's constructor arguments; `policy` defaults to "MlpPolicy".

    Attributes:
        model: The SB3 algorithm object.

    Raises:
        ValueError: An argument that is unknown or has no effect on a hyper-agent, or an algorithm that
            cannot act in the action space.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        seed: int,
        algorithm: type[BaseAlgorithm],
        algorithm_kwargs: Mapping[str, Any],
    ) -> None:
        super().__init__(env, seed)
        self._random_state = RandomState(seed)
        with self._random_state.swapped_in():
            action_space = chosen_space(algorithm, self.search_space)
            self.model = make_algorithm(
                algorithm, self.env.observation_space, action_space, seed, algorithm_kwargs
            )
            check_buffer(type(self._buffer))
            # This call needs only an upper bound: `observe` reports the progress.
            self.model._setup_learn(self.env.total_env_steps)
        self._joint = not isinstance(action_space, spaces.Box)
        # Of the current rollout: what `collect_rollouts` counts.
        self._steps = self._episodes = 0
        self._episode_over = True
        # What `observe` stores with the last choice's transition.
        self._choice: dict[str, Any] = {}

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        model = self.model
        with self._random_state.swapped_in():
            if not (self._episode_over or np.array_equal(model._last_obs, obs[None])):  # type: ignore[arg-type]
                self._leave_episode()
            model._last_obs = obs[None].copy()
            # At every step, because a restored policy may be in the middle of a rollout.
            model.policy.set_training_mode(False)
            if self._steps == 0:
                self._resample_noise()
            if model.sde_sample_freq > 0 and self._steps % model.sde_sample_freq == 0:
                self._resample_noise()
            action = self._choose()
        return self.search_space.joint_action(int(action)) if self._joint else action

    def observe(
        self,
        obs: Observation,
        action: Any,
        reward: float,
        next_obs: Observation,
        terminated: bool,
        truncated: bool,
        info: Mapping[str, Any],
    ) -> None:
        """See `HyperAgent.observe`."""
        done = bool(terminated or truncated)
        step_info: dict[str, Any] = {"TimeLimit.truncated": truncated and not terminated}
        if done:
            step_info["terminal_observation"] = next_obs
        self.model.num_timesteps += 1
        self._steps += 1
        self._episodes += done
        self._episode_over = done
        with self._random_state.swapped_in():
            # The last phase may exceed the budget, and a schedule ends at 0.
            self.model._update_current_progress_remaining(
                min(info["env_steps"], self.env.total_env_steps), self.env.total_env_steps
            )
            over = self._take_in(
                Outcome(next_obs[None].copy(), np.array([reward], np.float32), np.array([done]), [step_info])
            )
        if over:
            self._steps = self._episodes = 0

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`. It includes everything that training changes in the algorithm."""
        return {
            **super().state_dict(),
            "random_state": self._random_state.state_dict(),
            "algorithm": algorithm_state(self.model),
            "buffer": buffer_state(self._buffer),
            "steps": self._steps,
            "episodes": self._episodes,
            "episode_over": self._episode_over,
            "choice": copy.deepcopy(self._choice),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self._random_state.load_state_dict(state["random_state"])
        load_algorithm_state(self.model, state["algorithm"])
        load_buffer_state(self._buffer, state["buffer"])
        self._steps, self._episodes = state["steps"], state["episodes"]
        self._episode_over = state["episode_over"]
        self._choice = copy.deepcopy(state["choice"])

    def _resample_noise(self) -> None:
        """Draws new exploration matrices for gSDE."""
        if self.model.use_sde:
            self.model.policy.reset_noise()  # type: ignore[operator]

    def _leave_episode(self) -> None:
        """Starts as `learn()` does on another environment: a new run began in the middle of an episode."""
        self._steps = self._episodes = 0
        self.model._last_episode_starts = np.ones(1, dtype=bool)
        if self.model.action_noise is not None:
            self.model.action_noise.reset()

    @property
    @abstractmethod
    def _buffer(self) -> BaseBuffer:
        """The algorithm's buffer of transitions."""

    @abstractmethod
    def _choose(self) -> Any:
        """The algorithm's action for `model._last_obs`, with exploration."""

    @abstractmethod
    def _take_in(self, outcome: Outcome) -> bool:
        """Stores the last choice's transition; returns whether the rollout ended, so that it trained."""
