"""Any Stable-Baselines3 algorithm as a hyper-agent: SB3's own networks, buffers and updates."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from inspect import signature
from typing import Any

import gymnasium as gym
import numpy as np
import stable_baselines3
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from agents.base import HyperAgent, Observation
from hyperrl_env.randomness import RandomState

# What an algorithm counts, beside what its parameters and buffer hold.
_COUNTERS = (
    "num_timesteps",
    "_n_updates",
    "_n_calls",
    "_episode_num",
    "_current_progress_remaining",
    "_last_episode_starts",
    "exploration_rate",
)


class _Spaces(gym.Env[Observation, Any]):
    """Tells an SB3 algorithm the spaces; the agent's driver does the stepping."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space = observation_space
        self.action_space = action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape or (), np.float32), {}


def sb3_class(algorithm: str | type[BaseAlgorithm]) -> type[BaseAlgorithm]:
    """An SB3 algorithm by its name in `stable_baselines3`, or the class itself.

    Raises:
        ValueError: For an unknown name; the message lists those that exist.
    """
    if not isinstance(algorithm, str):
        return algorithm
    known = {
        name: cls
        for name, cls in vars(stable_baselines3).items()
        if isinstance(cls, type) and issubclass(cls, OnPolicyAlgorithm | OffPolicyAlgorithm)
    }
    if algorithm not in known:
        raise ValueError(f"Unknown SB3 algorithm {algorithm!r}: give one of {sorted(known)}, or a class.")
    return known[algorithm]


class SB3Agent(HyperAgent):
    """Drives an SB3 algorithm step by step as its own `learn()` would.

    Algorithms for discrete actions choose joint bins in every action mode of the environment;
    those for continuous actions need `action_mode="box"`. Schedules (exploration, learning rate)
    follow the inner run's budget. The algorithm draws from generators of its own.

    Args:
        env: See `HyperAgent`.
        seed: Seeds the algorithm.
        algorithm: The SB3 class.
        algorithm_kwargs: SB3's constructor arguments; `policy` defaults to "MlpPolicy".

    Attributes:
        model: The SB3 algorithm object.

    Raises:
        ValueError: An unknown argument, or an algorithm that cannot act in the action space.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        seed: int,
        algorithm: type[BaseAlgorithm],
        algorithm_kwargs: Mapping[str, Any],
    ) -> None:
        super().__init__(env, seed)
        known = set(signature(algorithm).parameters) - {"env", "seed", "_init_setup_model"}
        if unknown := set(algorithm_kwargs) - known:
            raise ValueError(
                f"Unknown keywords {sorted(unknown)}: {algorithm.__name__} takes {sorted(known)}."
            )
        action_space = self.search_space.action_space
        self._joint = not isinstance(action_space, spaces.Box)
        if self._joint:
            action_space = spaces.Discrete(self.search_space.n_actions)
        stand_in = _Spaces(self.env.observation_space, action_space)
        self._random_state = RandomState(seed)
        with self._random_state.swapped_in():
            try:
                self.model = algorithm(env=stand_in, seed=seed, **{"policy": "MlpPolicy", **algorithm_kwargs})
            except AssertionError as error:
                raise ValueError(f"{algorithm.__name__} cannot be a hyper-agent here: {error}") from error
            # An upper bound is all that this call needs: the driver reports the progress itself.
            self.model._setup_learn(self.env.total_env_steps)

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        with self._random_state.swapped_in(), torch.no_grad():
            self.model._last_obs = obs[None]
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
        done = terminated or truncated
        step_info: dict[str, Any] = {"TimeLimit.truncated": truncated and not terminated}
        if done:
            step_info["terminal_observation"] = next_obs
        self.model.num_timesteps += 1
        with self._random_state.swapped_in():
            self._progress = 1.0 - info["env_steps"] / self.env.total_env_steps
            self._take_in(next_obs[None], np.array([reward], np.float32), np.array([done]), [step_info])

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`; parameters, optimisers, counters and buffer of the algorithm."""
        return {
            **super().state_dict(),
            "random_state": self._random_state.state_dict(),
            "action_space": self.model.action_space.np_random.bit_generator.state,
            "parameters": copy.deepcopy(self.model.get_parameters()),
            "counters": {name: getattr(self.model, name) for name in self._counters()},
            "buffer": self._buffer_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self._random_state.load_state_dict(state["random_state"])
        self.model.action_space.np_random.bit_generator.state = state["action_space"]
        self.model.set_parameters(copy.deepcopy(state["parameters"]))
        for name, value in state["counters"].items():
            setattr(self.model, name, value)
        self._set_buffer_state(state["buffer"])

    def _counters(self) -> list[str]:
        return [name for name in _COUNTERS if hasattr(self.model, name)]

    def _buffer_fields(self) -> list[str]:
        return [
            name for name, value in vars(self._buffer()).items() if isinstance(value, np.ndarray | bool | int)
        ]

    def _buffer_state(self) -> dict[str, Any]:
        return {name: copy.copy(getattr(self._buffer(), name)) for name in self._buffer_fields()}

    def _set_buffer_state(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self._buffer(), name, copy.copy(value))

    @abstractmethod
    def _buffer(self) -> BaseBuffer:
        """Where the algorithm keeps its transitions."""

    @abstractmethod
    def _choose(self) -> Any:
        """The algorithm's action for `model._last_obs`, exploring."""

    @abstractmethod
    def _take_in(
        self,
        next_obs: NDArray[np.float32],
        reward: NDArray[np.float32],
        done: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> None:
        """Stores the transition that the last choice led to, and trains when it is time."""


class OffPolicyAgent(SB3Agent):
    """Drives DQN, SAC, TD3 ...: what `OffPolicyAlgorithm.learn` does, a step at a time."""

    model: OffPolicyAlgorithm

    def _buffer(self) -> BaseBuffer:
        assert self.model.replay_buffer is not None
        return self.model.replay_buffer

    def _buffer_state(self) -> dict[str, Any]:
        # Most of a replay buffer is empty for most of a run.
        filled = self._buffer().size()
        return {
            name: value[:filled].copy() if isinstance(value, np.ndarray) else value
            for name in self._buffer_fields()
            for value in [getattr(self._buffer(), name)]
        }

    def _set_buffer_state(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                getattr(self._buffer(), name)[: len(value)] = value
            else:
                setattr(self._buffer(), name, value)

    def _choose(self) -> Any:
        model = self.model
        model.policy.set_training_mode(False)
        action, self._buffer_action = model._sample_action(model.learning_starts, model.action_noise)
        return action[0]

    def _take_in(
        self,
        next_obs: NDArray[np.float32],
        reward: NDArray[np.float32],
        done: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> None:
        model = self.model
        assert model.replay_buffer is not None
        model._store_transition(model.replay_buffer, self._buffer_action, next_obs, reward, done, infos)
        model._current_progress_remaining = self._progress
        model._on_step()
        if done[0]:
            model._episode_num += 1
            if model.action_noise is not None:
                model.action_noise.reset()
        if self._time_to_train(bool(done[0])) and model.num_timesteps > model.learning_starts:
            steps = model.gradient_steps if model.gradient_steps >= 0 else self._frequency.frequency
            if steps > 0:
                model.train(batch_size=model.batch_size, gradient_steps=steps)

    @property
    def _frequency(self) -> TrainFreq:
        assert isinstance(self.model.train_freq, TrainFreq)
        return self.model.train_freq

    def _time_to_train(self, done: bool) -> bool:
        if self._frequency.unit == TrainFrequencyUnit.STEP:
            return self.model.num_timesteps % self._frequency.frequency == 0
        return done and self.model._episode_num % self._frequency.frequency == 0


class OnPolicyAgent(SB3Agent):
    """Drives PPO, A2C ...: what `OnPolicyAlgorithm.learn` does, a step at a time."""

    model: OnPolicyAlgorithm

    def _buffer(self) -> BaseBuffer:
        return self.model.rollout_buffer

    def _choose(self) -> Any:
        model = self.model
        if model.rollout_buffer.full:
            model.rollout_buffer.reset()
        model.policy.set_training_mode(False)
        observation, _ = model.policy.obs_to_tensor(model._last_obs)  # type: ignore[arg-type]
        actions, self._value, self._log_prob = model.policy(observation)
        self._action = actions.cpu().numpy()
        if isinstance(model.action_space, spaces.Box):
            return np.clip(self._action, model.action_space.low, model.action_space.high)[0]
        return self._action[0]

    def _take_in(
        self,
        next_obs: NDArray[np.float32],
        reward: NDArray[np.float32],
        done: NDArray[np.bool_],
        infos: list[dict[str, Any]],
    ) -> None:
        model = self.model
        if infos[0]["TimeLimit.truncated"]:
            reward = reward + model.gamma * self._value_of(next_obs).numpy()[0]
        model.rollout_buffer.add(
            model._last_obs,  # type: ignore[arg-type]
            self._action.reshape(1, -1),
            reward,
            model._last_episode_starts,  # type: ignore[arg-type]
            self._value,
            self._log_prob,
        )
        model._last_episode_starts = done
        model._current_progress_remaining = self._progress
        if model.rollout_buffer.full:
            model.rollout_buffer.compute_returns_and_advantage(self._value_of(next_obs), done)
            model.train()

    def _value_of(self, obs: NDArray[np.float32]) -> torch.Tensor:
        with torch.no_grad():
            return self.model.policy.predict_values(self.model.policy.obs_to_tensor(obs)[0]).cpu()


def make_sb3_agent(
    env: gym.Env[Any, Any], seed: int = 0, *, algorithm: str | type[BaseAlgorithm], **algorithm_kwargs: Any
) -> SB3Agent:
    """Any SB3 algorithm, by name or class, as a hyper-agent.

    Args:
        env: See `HyperAgent`.
        seed: Seeds the algorithm.
        algorithm: A name in `stable_baselines3`, or a class.
        **algorithm_kwargs: SB3's constructor arguments.

    Raises:
        ValueError: Unknown algorithm or argument, or one that cannot act in the action space.
    """
    cls = sb3_class(algorithm)
    driver = OnPolicyAgent if issubclass(cls, OnPolicyAlgorithm) else OffPolicyAgent
    return driver(env, seed, cls, algorithm_kwargs)


def make_dqn_agent(
    env: gym.Env[Any, Any],
    seed: int = 0,
    *,
    buffer_size: int = 10_000,
    gamma: float = 1.0,
    exploration_fraction: float = 0.5,
    exploration_final_eps: float = 0.01,
    target_update_interval: int = 500,
    **algorithm_kwargs: Any,
) -> SB3Agent:
    """SB3's DQN on the joint hyper-action: the paper's parametric alternative to the memory.

    The defaults that differ from SB3's are this project's choice: a buffer as large as the
    episodic memory, exploration as episodic control explores, the undiscounted hyper-return, and
    a target network that moves within the few thousand steps that a Hyper-RL run has.

    Args:
        env: See `HyperAgent`.
        seed: Seeds the algorithm.
        buffer_size: Transitions that are kept.
        gamma: Discount of the hyper-return.
        exploration_fraction: Part of the run's budget over which exploration falls.
        exploration_final_eps: Exploration rate after that.
        target_update_interval: Hyper-steps between updates of the target network.
        **algorithm_kwargs: SB3's other constructor arguments.

    Raises:
        ValueError: An unknown argument.
    """
    return make_sb3_agent(
        env,
        seed,
        algorithm=stable_baselines3.DQN,
        buffer_size=buffer_size,
        gamma=gamma,
        exploration_fraction=exploration_fraction,
        exploration_final_eps=exploration_final_eps,
        target_update_interval=target_update_interval,
        **algorithm_kwargs,
    )
