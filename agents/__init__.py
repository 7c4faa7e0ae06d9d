"""Hyper-agents: they choose the hyperparameters."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

import gymnasium as gym

from agents.adaptive_kl import AdaptiveKLAgent
from agents.base import HyperAgent
from agents.controller import ControllerAgent
from agents.decay import ConstantAgent, LinearDecayAgent
from agents.episodic import EpisodicControlAgent, EpisodicMemory
from agents.fixed import FixedAgent
from agents.hoof import HOOFAgent
from agents.hypercontroller import HyperControllerAgent
from agents.lookahead import LookaheadAgent
from agents.loop import Step, run, steps
from agents.lrrl import LrrlAgent
from agents.prior import PriorAgent
from agents.random import RandomAgent
from agents.random_schedule import RandomScheduleAgent
from agents.replay import ReplayAgent
from agents.sb3 import make_dqn_agent, make_sb3_agent
from agents.tmg import MetaGradientAgent
from agents.ultho import UlthoAgent
from hyperrl_env.checks import unknown
from hyperrl_env.registry import Registry

# An agent's name, the user's own class, or a function that makes an agent.
Agent = str | Callable[..., HyperAgent]


def _check(factory: object) -> None:
    if not callable(factory) or (isinstance(factory, type) and not issubclass(factory, HyperAgent)):
        raise ValueError(f"An agent must be a name or a subclass of agents.HyperAgent, not {factory!r}.")


AGENTS: Registry[Callable[..., HyperAgent]] = Registry(
    "agent",
    "hyperrl.agents",
    {
        "epgt": EpisodicControlAgent,
        "random": RandomAgent,
        "fixed": FixedAgent,
        "dqn": make_dqn_agent,
        "sb3": make_sb3_agent,
        "replay": ReplayAgent,
        "constant": ConstantAgent,
        "linear_decay": LinearDecayAgent,
        "adaptive_kl": AdaptiveKLAgent,
        "controller": ControllerAgent,
        "ultho": UlthoAgent,
        "lrrl": LrrlAgent,
        "hypercontroller": HyperControllerAgent,
        "hoof": HOOFAgent,
        "tmg": MetaGradientAgent,
        "lookahead": LookaheadAgent,
        "random_schedule": RandomScheduleAgent,
        "prior": PriorAgent,
    },
    _check,
)


def register(name: str, factory: Callable[..., HyperAgent]) -> None:
    """Gives an agent of yours a name: `make`, the command line and sweeps of this process then know it.

    To have other processes know it, let an installed package offer it by the entry point
    `hyperrl.agents`, or use its import path.

    Args:
        name: Letters, digits, "_", "." and "-".
        factory: A subclass of `HyperAgent`, or a function that returns one; it takes `env` and `seed`.

    Raises:
        ValueError: A name that is impossible or taken, or something that makes no agent.
    """
    AGENTS.register(name, factory)


def _factory(name: Agent) -> Callable[..., HyperAgent]:
    if isinstance(name, str):
        return AGENTS.find(name)
    _check(name)
    return name


def takes_any_keyword(name: Agent) -> bool:
    """Whether an agent passes further keywords on to a constructor that checks them."""
    return any(p.kind is Parameter.VAR_KEYWORD for p in signature(_factory(name)).parameters.values())


def keywords(name: Agent) -> dict[str, Any]:
    """The keywords that `make` takes for an agent, with their defaults (`Parameter.empty`: none).

    Raises:
        ValueError: An unknown agent (the message lists the valid ones), or something that makes no agent.
    """
    parameters = {p.name: p for p in signature(_factory(name)).parameters.values()}
    if not {"env", "seed"} <= set(parameters) and not takes_any_keyword(name):
        raise ValueError(f"Agent {_called(name)!r} must take env and seed, like agents.HyperAgent.")
    by_name = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return {k: p.default for k, p in parameters.items() if p.kind in by_name and k not in ("env", "seed")}


def check_algorithm(name: Agent, algorithm: str, /, **kwargs: Any) -> None:
    """Raises ValueError if an agent cannot handle an inner algorithm: see `HyperAgent.check_algorithm`.

    Args:
        name: See `make`.
        algorithm: As "PPO".
        **kwargs: The agent's keywords.
    """
    if (check := getattr(_factory(name), "check_algorithm", None)) is not None:
        check(algorithm, **kwargs)


def env_kwargs(name: Agent, **kwargs: Any) -> dict[str, Any]:
    """Keywords that the environment needs for an agent: see `HyperAgent.env_kwargs`.

    Args:
        name: See `make`.
        **kwargs: The agent's keywords.
    """
    needed = getattr(_factory(name), "env_kwargs", None)
    return {} if needed is None else dict(needed(**kwargs))


def recorded_kwargs(name: Agent, **kwargs: Any) -> dict[str, Any]:
    """An agent's keywords as a run's configuration keeps them: see `HyperAgent.recorded_kwargs`.

    Args:
        name: See `make`.
        **kwargs: The agent's keywords.
    """
    recorded = getattr(_factory(name), "recorded_kwargs", None)
    return kwargs if recorded is None else dict(recorded(**kwargs))


def make(name: Agent, env: gym.Env[Any, Any], seed: int = 0, **kwargs: Any) -> HyperAgent:
    """Makes a hyper-agent.

    Args:
        name: One of `AGENTS`, as "epgt" (episodic control); or a subclass of `HyperAgent`, or a function
            that returns one.
        env: A Hyper-RL environment, wrapped or not.
        seed: Seeds everything that the agent draws.
        **kwargs: The agent's keywords.

    Raises:
        ValueError: An unknown agent or keyword (the message lists the valid ones), a missing keyword, or
            something that makes no agent.

    Example:
        >>> env = gym.make("HyperRL-A2C-CartPole-v0", total_env_steps=400)
        >>> agent = make("epgt", env, seed=0, k_read=5)
        >>> obs, info = env.reset(seed=0)
        >>> obs, reward, *_ = env.step(agent.act(obs, info))
    """
    known = keywords(name)
    for keyword in kwargs:
        if keyword not in known and not takes_any_keyword(name):
            raise ValueError(unknown(f"{_called(name)} keyword", keyword, known))
    if missing := [k for k, default in known.items() if default is Parameter.empty and k not in kwargs]:
        raise ValueError(f"Agent {_called(name)!r} needs {', '.join(f'{k}=...' for k in missing)}.")
    agent = _factory(name)(env=env, seed=seed, **kwargs)
    if not isinstance(agent, HyperAgent):
        raise ValueError(f"{_called(name)!r} made {agent!r}, which is not an agents.HyperAgent.")
    return agent


def _called(name: Agent) -> str:
    return name if isinstance(name, str) else getattr(name, "__name__", repr(name))


__all__ = [
    "AGENTS",
    "EpisodicControlAgent",
    "EpisodicMemory",
    "HyperAgent",
    "Step",
    "check_algorithm",
    "env_kwargs",
    "keywords",
    "make",
    "recorded_kwargs",
    "register",
    "run",
    "steps",
]
