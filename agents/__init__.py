"""Hyper-agents: what chooses the hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

import gymnasium as gym

from agents.base import HyperAgent
from agents.episodic import EpisodicControlAgent, EpisodicMemory
from agents.fixed import FixedAgent
from agents.loop import Step, run, steps
from agents.random import RandomAgent
from agents.sb3 import make_dqn_agent, make_sb3_agent

AGENTS: Mapping[str, Callable[..., HyperAgent]] = {
    "epgt": EpisodicControlAgent,
    "random": RandomAgent,
    "fixed": FixedAgent,
    "dqn": make_dqn_agent,
    "sb3": make_sb3_agent,
}


def _factory(name: str) -> Callable[..., HyperAgent]:
    if name not in AGENTS:
        raise ValueError(f"Unknown agent {name!r}: give one of {list(AGENTS)}.")
    return AGENTS[name]


def keywords(name: str) -> dict[str, Any]:
    """The keywords that `make` takes for an agent, with their defaults (`Parameter.empty`: none).

    Raises:
        ValueError: For an unknown agent; the message lists those that exist.
    """
    parameters = signature(_factory(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is Parameter.KEYWORD_ONLY}


def make(name: str, env: gym.Env[Any, Any], seed: int = 0, **kwargs: Any) -> HyperAgent:
    """Makes a hyper-agent.

    Args:
        name: "epgt" (episodic control), "random", "fixed", "dqn", or "sb3" with `algorithm=`.
        env: A Hyper-RL environment, wrapped or not.
        seed: Seeds everything that the agent draws.
        **kwargs: The agent's own keywords.

    Raises:
        ValueError: Unknown agent or keyword (the message lists those that exist), or one missing.

    Example:
        >>> env = gym.make("HyperRL-A2C-CartPole-v0", total_env_steps=400)
        >>> agent = make("epgt", env, seed=0, k_read=5)
        >>> obs, info = env.reset(seed=0)
        >>> obs, reward, *_ = env.step(agent.act(obs, info))
    """
    factory, known = _factory(name), keywords(name)
    open_ended = any(p.kind is Parameter.VAR_KEYWORD for p in signature(factory).parameters.values())
    if (unknown := set(kwargs) - set(known)) and not open_ended:
        raise ValueError(f"Unknown keywords {sorted(unknown)}: agent {name!r} takes {list(known)}.")
    if missing := [k for k, default in known.items() if default is Parameter.empty and k not in kwargs]:
        raise ValueError(f"Agent {name!r} needs {', '.join(f'{k}=...' for k in missing)}.")
    return factory(env, seed, **kwargs)


__all__ = [
    "AGENTS",
    "EpisodicControlAgent",
    "EpisodicMemory",
    "HyperAgent",
    "Step",
    "keywords",
    "make",
    "run",
    "steps",
]
