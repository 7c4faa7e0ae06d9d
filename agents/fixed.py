"""One hyper-action for the whole run: a baseline without a schedule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from agents.base import HyperAgent, Observation
from hyperrl_env import DEFINITIONS
from hyperrl_env.checks import check_number, unknown


class FixedAgent(HyperAgent):
    """Takes the same hyper-action at every step.

    Args:
        env: See `HyperAgent`.
        seed: See `HyperAgent`; nothing is drawn.
        action: "default" (the task's own settings), "smallest" or "largest" (value of every
            hyperparameter), a mapping from hyperparameters to values, or to multiples of the task's own
            as "0.5x" (the others keep their defaults), or an element of the action space.

    Raises:
        ValueError: An unknown name, or values that the search space does not offer.
        gymnasium.error.InvalidAction: An action outside the action space.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int = 0, *, action: Any = "default") -> None:
        super().__init__(env, seed)
        space = self.search_space
        named = {"default": space.default_action, "smallest": space.joint_action(0)}
        named["largest"] = space.joint_action(space.n_actions - 1)
        if isinstance(action, str):
            if action not in named:
                raise ValueError(
                    f"{unknown('fixed action', action, named)} Values by name and actions are valid too."
                )
            self.action = named[action]
        elif isinstance(action, Mapping):
            self.action = space.action(_values(action, space.values(space.default_action)))
        else:
            space.values(action)
            self.action = action

    @classmethod
    def env_kwargs(cls, *, action: Any = "default", **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: values by name are what the search space offers."""
        if not isinstance(action, Mapping) or not action:
            return {}
        multiples = {name: _multiple(name, value) for name, value in action.items()}
        space = {
            name: {"values": [action[name]]} if multiple is None else {"multipliers": sorted({1.0, multiple})}
            for name, multiple in multiples.items()
        }
        return {"search_space": space}

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        return self.action


def _multiple(name: str, value: object) -> float | None:
    """How many times the task's own value "0.5x" means; None for a number, which means itself."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d*\.?\d+(?:e[-+]?\d+)?)x", value)):
        return float(found[1])
    if isinstance(value, str):
        raise ValueError(
            f"action[{name!r}] must be a number, or a multiple of the task's own value as '0.5x', "
            f"not {value!r}."
        )
    check_number(f"action[{name!r}]", value)
    return None


def _values(action: Mapping[str, Any], own: Mapping[str, float]) -> dict[str, float]:
    """The values that are meant; a name that is not in the search space is left for it to refuse."""
    values = {}
    for name, value in action.items():
        multiple = _multiple(name, value)
        values[name] = value if multiple is None else multiple * own.get(name, 1.0)
        if multiple is not None and name in DEFINITIONS and DEFINITIONS[name].integer:
            values[name] = max(round(values[name]), 1)
    return values
