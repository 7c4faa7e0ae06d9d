"""The loop in which a hyper-agent acts on a run: the outer loop of Algorithm 1 (Le et al., AAAI 2022).

| line     | step                                                | here                                  |
|----------|-----------------------------------------------------|---------------------------------------|
| 2        | for every learning episode                          | `steps`: `env.reset`                  |
| 4        | for every policy update i = 1 ... U                 | `steps`: a pass of its loop           |
| 5        | a_i in s_i                                          | `agent.act`                           |
| 6, 7, 8  | psi_i; theta; r_i (Eq. 1); G if i = U               | `env.step`                            |
| 3, 7, 10 | D = {}; add to D; M.update(D)                       | `agent.observe`                       |
"""

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
        obs: The observation on which the action was chosen, float32 `(D,)`.
        info: The info that came with `obs`.
        action: The hyper-action.
        reward: The hyper-reward.
        next_obs: The observation after the step, float32 `(D,)`.
        next_info: The info that came with `next_obs`.
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
    """Yields the hyper-steps of a run, one by one, until it is finished; the agent acts and learns.

    Args:
        env: A Hyper-RL environment, wrapped or not.
        agent: The hyper-agent.
        obs: The current observation, as `reset`, `step`, `restore` or `load` returned it.
        info: The info that came with it.

    Yields:
        Each step, after the agent has learned from it.
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
    """Trains one run to its end: the outer loop of Algorithm 1.

    Args:
        env: A Hyper-RL environment, wrapped or not. Afterwards, `env.unwrapped.learner.model` is the
            trained Stable-Baselines3 model.
        agent: The hyper-agent.
        seed: Starts a new run with this seed. None: `env.reset()` continues a run that is between two
            learning episodes; otherwise it starts a new one.
        callback: Called with every hyper-step. If it returns False, the loop stops.

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
