"""The constructors behind the names "sb3" and "dqn"."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import stable_baselines3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from agents.sb3.agent import SB3Agent
from agents.sb3.algorithms import sb3_class
from agents.sb3.off_policy import OffPolicyAgent
from agents.sb3.on_policy import OnPolicyAgent


def make_sb3_agent(
    env: gym.Env[Any, Any], seed: int = 0, *, algorithm: str | type[BaseAlgorithm], **algorithm_kwargs: Any
) -> SB3Agent:
    """Makes a hyper-agent of any SB3 algorithm, by name or class.

    Args:
        env: See `HyperAgent`.
        seed: Seeds the algorithm.
        algorithm: A name in `stable_baselines3`, or a class.
        **algorithm_kwargs: SB3's constructor arguments.

    Raises:
        ValueError: An unknown algorithm or argument, or an algorithm that cannot act in the action space.
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

    The defaults that differ from SB3's are this project's: a buffer as large as the episodic memory, the
    exploration of episodic control, the undiscounted hyper-return, and a target network that is updated
    within the few thousand steps of a Hyper-RL run.

    Args:
        env: See `HyperAgent`.
        seed: Seeds the algorithm.
        buffer_size: Capacity of the replay buffer, in transitions.
        gamma: Discount of the hyper-return.
        exploration_fraction: Fraction of the run's budget over which the exploration rate falls.
        exploration_final_eps: Exploration rate after that.
        target_update_interval: Hyper-steps between two updates of the target network.
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
