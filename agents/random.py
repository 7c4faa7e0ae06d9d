"""Random search at every step: the paper's RND."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from agents.base import HyperAgent, Observation


class RandomAgent(HyperAgent):
    """Draws every hyper-action uniformly from the joint bins or, with `action_mode="box"`, from the box."""

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        if isinstance(self.search_space.action_space, spaces.Box):
            box = self.search_space.action_space
            return self.rng.uniform(box.low, box.high).astype(np.float32)
        return self.search_space.joint_action(self.rng.integers(self.search_space.n_actions))
