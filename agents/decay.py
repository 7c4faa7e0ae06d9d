"""Schedules that depend on nothing but the progress of the run: constant, and falling linearly.

A task may decay a hyperparameter itself (the paper's settings, the learning rate). These agents set the
values themselves, whatever the task does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym

from agents.base import HyperAgent, Observation
from agents.values import action_of, check_continuous, check_handled, own_values
from hyperrl_env import DEFINITIONS
from hyperrl_env.checks import check_fraction, unknown

# The range of what can be any number above 0.
_LEAST, _MOST = 1e-8, 10.0


def linear(start: float, end: float, progress: float) -> float:
    """The value on the straight line from `start` to `end` at `progress` in [0, 1].

    Example:
        >>> [linear(4.0, 1.0, progress) for progress in (0.0, 0.5, 1.0)]
        [4.0, 2.5, 1.0]
    """
    return start + (end - start) * progress


def whole_range(name: str) -> dict[str, Any]:
    """What a search space offers for a hyperparameter to take any value from nearly 0 to its own and beyond.

    Example:
        >>> whole_range("clip_range")
        {'low': 1e-08, 'high': 10.0, 'scale': 'log'}
    """
    own = DEFINITIONS[name]
    if own.integer:
        # The task's own value joins it, and is the largest that is needed.
        return {"values": [own.low]}
    low = _LEAST if own.open_low else own.low
    high = own.high if own.high < math.inf else (_MOST if own.open_low else 1.0)
    return {"low": low, "high": high, "scale": "log" if own.open_low else "linear"}


class LinearDecayAgent(HyperAgent):
    """Lets hyperparameters fall linearly, from the task's own value at the start to a fraction of it.

    The fraction is reached at the end of the budget; progress counts as in Stable-Baselines3. Where 0 is
    forbidden, it stands for 1e-8.

    Args:
        env: A Hyper-RL environment with `action_mode="box"`, whose search space holds just these
            hyperparameters, over their whole range.
        seed: See `HyperAgent`; nothing is drawn.
        hyperparameters: Their names.
        end: The fraction in [0, 1] of their own value that they fall to.

    Raises:
        ValueError: An unknown name, an `end` out of range, or another search space.
    """

    name = "linear_decay"

    def __init__(
        self,
        env: gym.Env[Any, Any],
        seed: int = 0,
        *,
        hyperparameters: Sequence[str] = ("learning_rate",),
        end: float = 0.0,
    ) -> None:
        super().__init__(env, seed)
        check_handled(self.name, self.env, _checked(hyperparameters))
        check_continuous(self.name, self.env)
        check_fraction("end", end)
        self._end = end

    @classmethod
    def env_kwargs(
        cls, *, hyperparameters: Sequence[str] = ("learning_rate",), **kwargs: Any
    ) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: the whole range of the hyperparameters."""
        space = {name: whole_range(name) for name in _checked(hyperparameters)}
        return {"decision": "phase", "action_mode": "box", "search_space": space}

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        progress = min(info["env_steps"] / self.env.total_env_steps, 1.0)
        values = {}
        for name, start in own_values(self.env).items():
            value = max(linear(start, self._end * start, progress), self.search_space.least(name))
            values[name] = round(value) if DEFINITIONS[name].integer else value
        return action_of(self.env, values)


class ConstantAgent(LinearDecayAgent):
    """Holds hyperparameters at the task's own value of the start, also if the task decays them.

    Args:
        env: See `LinearDecayAgent`.
        seed: See `HyperAgent`; nothing is drawn.
        hyperparameters: Their names.

    Raises:
        ValueError: An unknown name, or another search space.
    """

    name = "constant"

    def __init__(
        self,
        env: gym.Env[Any, Any],
        seed: int = 0,
        *,
        hyperparameters: Sequence[str] = ("learning_rate",),
    ) -> None:
        super().__init__(env, seed, hyperparameters=hyperparameters, end=1.0)


def _checked(hyperparameters: Sequence[str]) -> list[str]:
    if isinstance(hyperparameters, str) or not hyperparameters:
        raise ValueError(f"hyperparameters must be a list of names, not {hyperparameters!r}.")
    for name in hyperparameters:
        if name not in DEFINITIONS:
            raise ValueError(unknown("hyperparameter", name, DEFINITIONS))
    return list(hyperparameters)
