"""A hyper-agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym

import agents


class WarmUp(agents.HyperAgent):
    """The smallest learning rate at first, the task's own settings afterwards.

    Args:
        env: A Hyper-RL environment that offers the learning rate.
        seed: Not used: nothing is drawn.
        updates: Policy updates with the smallest learning rate.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int = 0, *, updates: int = 100) -> None:
        super().__init__(env, seed)
        smallest = self.search_space.values(self.search_space.joint_action(0))["learning_rate"]
        self._slow = self.search_space.action({"learning_rate": smallest})
        self._updates_left = updates

    def act(self, obs: Any, info: Mapping[str, Any]) -> Any:
        """See `agents.HyperAgent.act`."""
        self._updates_left -= 1
        return self._slow if self._updates_left >= 0 else self.search_space.default_action

    def state_dict(self) -> dict[str, Any]:
        """See `agents.HyperAgent.state_dict`: what `hyperrl resume` continues from."""
        return {**super().state_dict(), "updates_left": self._updates_left}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `agents.HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self._updates_left = state["updates_left"]
