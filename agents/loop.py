"""The loop in which a hyper-agent trains a run: the outer loop of the paper's Algorithm 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from agents.base import HyperAgent, Observation


@dataclass(frozen=True)
class Step:
    """One hyper-step of a run.

    Attributes:
        obs: The hyper-state in which the action was chosen, float32 `(D,)`.
        info: What came with it.
        action: The hyper-action.
        reward: The hyper-reward.
        next_obs: The hyper-state after the step.
        next_info: What came with it.
        terminated: Whether the learning episode ended.
        truncated: Whether the budget cut it short.
    """

    obs: Observation
    info: dict[str, Any]
    action: Any
    reward: float
    next_obs: Observation
    next_info: dict[str, Any]
    terminated: bool
    truncated: bool


Callback = Callable[[Step], bool | None]


def steps(
    env: gym.Env[Any, Any], agent: HyperAgent, obs: Observation, info: dict[str, Any]
) -> Iterator[Step]:
    """Lets the agent act and learn, one hyper-step at a time, until the run is finished.

    Args:
        env: A Hyper-RL environment, wrapped or not.
        agent: The hyper-agent.
        obs: The present hyper-state, as `reset`, `step`, `restore` or `load` returned it.
        info: What came with it.

    Yields:
        Each step, once the agent has learned from it.
    """
    while not info["run_finished"]:
        if agent.env.episode_over:
            obs, info = env.reset()
        action = agent.act(obs, info)
        next_obs, reward, terminated, truncated, next_info = env.step(action)
        step = Step(obs, info, action, float(reward), next_obs, next_info, terminated, truncated)
        agent.observe(obs, action, step.reward, next_obs, terminated, truncated, next_info)
        yield step
        obs, info = next_obs, next_info


def run(
    env: gym.Env[Any, Any],
    agent: HyperAgent,
    seed: int | None = None,
    callback: Callback | None = None,
) -> dict[str, Any]:
    """Trains one run to its end.

    Args:
        env: A Hyper-RL environment, wrapped or not. Afterwards `env.unwrapped.learner.model` is the trained
            Stable-Baselines3 model.
        agent: The hyper-agent.
        seed: Seeds a new run. None: `env.reset()` decides, which continues a run that stands between two
            learning episodes, and otherwise starts a new one.
        callback: Called after every hyper-step; when it returns False, the loop ends there.

    Returns:
        The info of the last step.

    Example:
        >>> import agents
        >>> env = gym.make("HyperRL-PPO-CartPole-v0", total_env_steps=4096)
        >>> info = agents.run(env, agents.make("random", env, seed=0), seed=0)
        >>> info["run_finished"], info["env_steps"]
        (True, 4096)
    """
    obs, info = env.reset(seed=seed)
    for step in steps(env, agent, obs, info):
        info = step.next_info
        if callback is not None and callback(step) is False:
            break
    return info
