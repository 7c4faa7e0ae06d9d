"""Which spaces an inner environment may have: those that Stable-Baselines3's policies can use."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

_KINDS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_NAMES = "Box, Discrete, MultiDiscrete or MultiBinary"


def with_usable_spaces(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """The environment itself, if a Stable-Baselines3 policy can use its spaces; else it is closed.

    Raises:
        ValueError: It cannot; the message says what would be right.
    """
    reason = observations_problem(env.observation_space) or actions_problem(env.action_space)
    if reason is not None:
        env.close()
        raise ValueError(f"The inner environment cannot be used: {reason}.")
    return env


def observations_problem(space: spaces.Space[Any]) -> str | None:
    """Why no policy can observe a space, and what to do about it; None if one can."""
    if not isinstance(space, spaces.Dict):
        return _problem("its observation space", space, f"{_NAMES}, or a Dict of these")
    if not space.spaces:
        return "its observation space is an empty Dict"
    problems = (
        _problem(f"entry {key!r} of its observation space", entry, f"{_NAMES} (a Dict cannot be nested)")
        for key, entry in space.spaces.items()
    )
    return next((problem for problem in problems if problem), None)


def actions_problem(space: spaces.Space[Any]) -> str | None:
    """Why no policy can act in a space, and what to do about it; None if one can."""
    if isinstance(space, spaces.Box) and not (np.isfinite(space.low) & np.isfinite(space.high)).all():
        return (
            f"its action space {space} has no finite bounds; give them by "
            "gymnasium.wrappers.RescaleAction or ClipAction, or in the environment"
        )
    if isinstance(space, spaces.MultiBinary) and len(space.shape) > 1:
        return f"its action space {space} has more than one dimension; make it flat"
    # A number may be an action, but a policy's first layer needs a vector.
    return _problem("its action space", space, _NAMES, least_dimensions=0)


def _problem(what: str, space: spaces.Space[Any], supported: str, least_dimensions: int = 1) -> str | None:
    if not isinstance(space, _KINDS):
        return f"{what} is {space}; Stable-Baselines3 supports {supported}"
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim > 1:
        return f"{what} is {space}, of more than one dimension; make it flat"
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and np.any(space.start):
        return (
            f"{what} is {space}, and Stable-Baselines3 counts from 0; shift it so that it starts at 0, as "
            "gymnasium.wrappers.TransformAction and TransformObservation can"
        )
    if isinstance(space, spaces.Box):
        if len(space.shape) < least_dimensions:
            return f"{what} is {space}, a single number; give it the shape (1,)"
        if not np.prod(space.shape):
            return f"{what} is {space}, which holds no number"
    return None
