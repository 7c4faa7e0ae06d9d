"""One hyper-action for the whole run: the baselines without a schedule."""

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
        action: "default" (the task's own settings), "smallest" or "largest" (of every
            hyperparameter), a mapping of hyperparameters to values (those not named keep their
            default), or an element of the action space.

    Raises:
        ValueError: Another word, or values that the search space does not offer.
        gymnasium.error.InvalidAction: An action outside the action space.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int = 0, *, action: Any = "default") -> None:
        super().__init__(env, seed)
        space = self.search_space
        words = {"default": space.default_action, "smallest": space.joint_action(0)}
        words["largest"] = space.joint_action(space.n_actions - 1)
        if isinstance(action, str):
            if action not in words:
                raise ValueError(f"{unknown('fixed action', action, words)} Or give values, or an action.")
            self.action = words[action]
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
