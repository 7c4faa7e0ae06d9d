"""One hyper-action for the whole run: a baseline without a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from agents.base import HyperAgent, Observation
from hyperrl_env.checks import check_number, unknown


class FixedAgent(HyperAgent):
    """Takes the same hyper-action at every step.

    Args:
        env: See `HyperAgent`.
        seed: See `HyperAgent`; nothing is drawn.
        action: "default" (the task's own settings), "smallest" or "largest" (value of every
            hyperparameter), a mapping from hyperparameters to values (the others keep their defaults),
            or an element of the action space.

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
            for name, value in action.items():
                check_number(f"action[{name!r}]", value)
            self.action = space.action(action)
        else:
            space.values(action)
            self.action = action

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        return self.action
