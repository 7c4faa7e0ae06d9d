"""Full memories, and episodic control that has one."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import agents
from agents import EpisodicControlAgent, EpisodicMemory

# Of every action but the best; no hyper-return of a short run is as low.
LOW = -1e6


def fill(memory: EpisodicMemory, *, best: int = 0, share_of_best: float = 0.0) -> None:
    """Fills a memory with random keys and actions.

    Args:
        memory: Empty.
        best: The action whose values are above all others'.
        share_of_best: The share of the entries, at least, that it owns.
    """
    rng = np.random.default_rng(0)
    n = memory.capacity
    actions = random_actions(rng, n, memory.n_actions, best=best, share_of_best=share_of_best)
    values = np.where(actions == best, 0.0, LOW) + rng.normal(size=n)
    rule = memory.rule
    memory.rule = "max"  # adds and moves no neighbour, which would take long
    for key, action, value in zip(rng.normal(size=(n, memory.key_dim)), actions, values, strict=True):
        memory.write(key, action, float(value))
    memory.rule = rule


def random_actions(
    rng: np.random.Generator, n: int, n_actions: int, *, best: int = 0, share_of_best: float = 0.0
) -> NDArray[np.int64]:
    """Actions (n,), of which at least `share_of_best` are `best`."""
    return np.where(rng.random(n) < share_of_best, best, rng.integers(n_actions, size=n))


def make_agent(name: str, env: gym.Env[Any, Any]) -> agents.HyperAgent:
    """The fixed action, or episodic control that never explores and whose full memory knows it as the best.

    Both then train the same policy, so that their times differ by what control costs, and not by what
    another batch size would.
    """
    if name != "epgt":
        return agents.make(name, env, seed=0)
    agent = EpisodicControlAgent(env, seed=0, epsilon_start=0.0, epsilon_end=0.0)
    fill(agent.memory, best=int(agent.search_space.joint_index(agent.env.default_action)))
    return agent
