"""What agents that choose any number in a range, instead of one of a few values, ask of the environment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gymnasium import spaces

from hyperrl_env import HyperRLEnv

# What is offered to such agents, unless the user offers something else.
RANGES: Mapping[str, Mapping[str, float]] = {
    "learning_rate": {"low": 1e-6, "high": 1.0},
    "ent_coef": {"low": 0.0, "high": 0.2},
    "gamma": {"low": 0.0, "high": 1.0},
    "gae_lambda": {"low": 0.0, "high": 1.0},
}


def range_kwargs(agent: str, hyperparameters: Sequence[str], able: Collection[str]) -> dict[str, Any]:
    """The environment's keywords: ranges of these hyperparameters to choose from.

    Args:
        agent: The agent's name, for messages.
        hyperparameters: Their names.
        able: Those that the agent can choose.

    Raises:
        ValueError: None, or one that the agent cannot choose; the message lists those that it can.
    """
    if isinstance(hyperparameters, str) or not hyperparameters:
        raise ValueError(f"hyperparameters must be a list of names, not {hyperparameters!r}.")
    _check_able(agent, hyperparameters, able)
    return {"search_space": {name: dict(RANGES[name]) for name in hyperparameters}, "action_mode": "box"}


def check_fits(
    agent: str,
    env: HyperRLEnv,
    hyperparameters: Sequence[str],
    able: Collection[str],
    algorithms: Collection[str],
) -> None:
    """Raises ValueError unless the environment offers what `range_kwargs` asks for, to a learner that fits.

    Args:
        agent: The agent's name.
        env: The environment.
        hyperparameters: The hyperparameters that the agent is to choose.
        able: Those that it can choose.
        algorithms: The inner learners that it can look into.
    """
    algorithm, names = env.inner_run_config.algorithm, env.search_space.names
    if algorithm not in algorithms:
        raise ValueError(f"Agent {agent!r} can handle {', '.join(algorithms)}, not {algorithm}.")
    _check_able(agent, names, able)
    if not isinstance(env.action_space, spaces.Box) or set(names) != set(hyperparameters):
        raise ValueError(
            f"Agent {agent!r} chooses any number in a range of {', '.join(hyperparameters)}, and this "
            f"environment offers {', '.join(names)} with action_mode={env.search_space.action_mode!r}. Make "
            f"it with the keywords agents.env_kwargs({agent!r}, hyperparameters={list(hyperparameters)})."
        )


def _check_able(agent: str, names: Sequence[str], able: Collection[str]) -> None:
    if wrong := [name for name in names if name not in able]:
        raise ValueError(
            f"Agent {agent!r} cannot handle {', '.join(wrong)}. It can handle {', '.join(sorted(able))}."
        )


def limits(env: HyperRLEnv) -> dict[str, tuple[float, float]]:
    """The smallest and the largest value, at this moment of the run, of each hyperparameter in the box."""
    box, space, own = env.action_space, env.search_space, env.learner.default_values()
    assert isinstance(box, spaces.Box)
    low, high = space.values(box.low, own), space.values(box.high, own)
    return {name: (low[name], high[name]) for name in space.names}
