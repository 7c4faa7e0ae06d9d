"""The contract of a hyper-agent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from hyperrl_env import HyperRLEnv
from hyperrl_env.checks import check_at_least

Observation = NDArray[np.float32]


class HyperAgent(ABC):
    """Chooses hyper-actions and learns from their outcomes.

    `agents.run` drives any agent. In short, its loop is:

        obs, info = env.reset(seed=seed)
        while not info["run_finished"]:
            action = agent.act(obs, info)
            next_obs, reward, terminated, truncated, info = env.step(action)
            agent.observe(obs, action, reward, next_obs, terminated, truncated, info)
            if (terminated or truncated) and not info["run_finished"]:
                next_obs, info = env.reset()
            obs = next_obs

    Args:
        env: A Hyper-RL environment, wrapped or not.
        seed: Seeds the agent's own generator; it draws from no other.

    Attributes:
        env: The Hyper-RL environment itself, unwrapped.
        search_space: The hyperparameters to choose, and the values that actions stand for.
        rng: The agent's generator.
        extra_env_steps: Environment steps that the agent has spent beside the run's own.

    Raises:
        TypeError: `env` is not a Hyper-RL environment.
        ValueError: `seed` is not a whole number of at least 0.
    """

    extra_env_steps: int = 0

    def __init__(self, env: gym.Env[Any, Any], seed: int = 0) -> None:
        if not isinstance(env.unwrapped, HyperRLEnv):
            raise TypeError(
                f"A hyper-agent needs a HyperRL-* environment, not {env.unwrapped!r}. To train on that one, "
                'give its id: gym.make("HyperRL-PPO-v0", env_id=...).'
            )
        self.env = env.unwrapped
        self.search_space = self.env.search_space
        check_at_least("seed", seed, 0)
        self.rng = np.random.default_rng(seed)

    @classmethod
    def check_algorithm(cls, algorithm: str, /, **kwargs: Any) -> None:
        """Checks that the agent can handle an inner algorithm, by default any.

        It is called before there is an environment, which another algorithm may not be able to offer.

        Args:
            algorithm: As "PPO".
            **kwargs: The agent's keywords.

        Raises:
            ValueError: It cannot; the message says which it can.
        """
        return

    @classmethod
    def env_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """Keywords that the environment needs for this agent, by default none.

        The command line and studies add them to those of the user, which override them.

        Args:
            **kwargs: The agent's keywords.

        Raises:
            ValueError: Keywords that are impossible.
        """
        return {}

    @classmethod
    def recorded_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """The agent's keywords as a run's `config.json` keeps them, by default as they are.

        An agent that reads a file has here what repeats the run without it, or notices that it has changed:
        its content, or a hash of it.

        Args:
            **kwargs: The agent's keywords.

        Raises:
            ValueError: Keywords that are impossible.
        """
        return kwargs

    @abstractmethod
    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """Chooses the hyper-action for the next step.

        Args:
            obs: The observation, float32 `(D,)`.
            info: The info that `reset` or `step` returned with it.

        Returns:
            An element of the environment's action space.
        """

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
        """Learns from the outcome of a step. By default, nothing is learned.

        Args:
            obs: The observation on which `action` was chosen, float32 `(D,)`.
            action: The hyper-action that `act` returned.
            reward: The hyper-reward.
            next_obs: The observation after the step, float32 `(D,)`.
            terminated: Whether the learning episode ended.
            truncated: Whether the budget cut it short.
            info: The info that `step` returned.
        """
        return

    def state_dict(self) -> dict[str, Any]:
        """Everything that the agent's future behaviour depends on.

        Returns:
            Nested dicts and lists of tensors, arrays, numbers and strings.
        """
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a `state_dict`.

        Args:
            state: The `state_dict` of an agent of the same kind and settings.
        """
        self.rng.bit_generator.state = state["rng"]
