"""What a search chooses from: the range of each hyperparameter, taken from the environment's search space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hyperrl_env import DEFINITIONS
from hyperrl_env.hyperparameters import Scale
from hyperrl_env.search_space import BoundSearchSpace


@dataclass(frozen=True)
class Range:
    """The values of a hyperparameter that a search can choose; multiples are of the value at the run's start.

    Attributes:
        low: The smallest value.
        high: The largest value.
        scale: How values spread: "linear" or "log".
        integer: Whether only whole numbers make sense.
        values: The values that the search space lists, ascending; a grid takes these.
    """

    low: float
    high: float
    scale: Scale
    integer: bool
    values: tuple[float, ...]

    def clamp(self, value: float) -> float:
        """The nearest value of the range.

        Example:
            >>> Range(32, 128, "log", True, (32, 64, 128)).clamp(153.6)
            128
        """
        inside = min(max(value, self.low), self.high)
        return round(inside) if self.integer else float(inside)


def ranges(space: BoundSearchSpace) -> dict[str, Range]:
    """The range of each hyperparameter of a search space, by name, at the start of a run.

    A range is as the search space gives it: the task's own value, which an environment always offers too,
    does not widen it.
    """
    shape = [len(bins) for bins in space.bins.values()]
    found: dict[str, Range] = {}
    for place, hyperparameter in enumerate(space.hyperparameters):
        name, own = hyperparameter.name, DEFINITIONS[hyperparameter.name]
        listed = set()
        for row, bin_ in enumerate(space.bins[name]):
            if hyperparameter.relative or any(math.isclose(bin_, given) for given in hyperparameter.bins):
                index = np.ravel_multi_index([row if i == place else 0 for i in range(len(shape))], shape)
                listed.add(own.kind(space.values(space.joint_action(index))[name]))
        values = tuple(sorted(listed))
        low = values[0] if hyperparameter.low is None else own.kind(hyperparameter.low)
        high = values[-1] if hyperparameter.high is None else own.kind(hyperparameter.high)
        scale: Scale = "linear" if low <= 0 else hyperparameter.box_scale
        found[name] = Range(low, high, scale, own.integer, values)
    return found


def check_choosable(method: str, found: Mapping[str, Range]) -> None:
    """Checks that every hyperparameter has more than one value.

    Raises:
        ValueError: One has not; the message names those that the method can choose.
    """
    single = [name for name, range_ in found.items() if range_.low == range_.high]
    if single:
        can = ", ".join(name for name in found if name not in single) or "none"
        raise ValueError(
            f"{method} needs a range for every hyperparameter, and the search space has one value of "
            f"{', '.join(single)}. It can choose: {can}. Give the others a range, as in "
            f'--set \'search_space={{"{single[0]}": {{"low": ..., "high": ...}}}}\'.'
        )


def run_keywords(env_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of the environment for a run with fixed hyperparameters: continuous, one action per phase.

    Raises:
        ValueError: `env_kwargs` asks for another action mode.
    """
    if env_kwargs.get("action_mode", "box") != "box":
        raise ValueError(f"action_mode must be 'box' in a search, not {env_kwargs['action_mode']!r}.")
    return {"decision": "phase", **env_kwargs, "action_mode": "box"}
