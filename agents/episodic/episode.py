"""The buffer D of Algorithm 1: what a learning episode chose and earned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Observation


def hyper_returns(rewards: list[float]) -> NDArray[np.float64]:
    """G_i = sum_{j >= i} r_j over a learning episode, undiscounted; (steps,) from (steps,).

    Example:
        >>> hyper_returns([0.0, 0.0, 5.0]).tolist()
        [5.0, 5.0, 5.0]
    """
    return np.cumsum(np.asarray(rewards, dtype=np.float64)[::-1])[::-1]


@dataclass
class EpisodeBuffer:
    """D: the steps i of one learning episode, from 0.

    It holds the hyper-reward of every step, which the hyper-returns of earlier steps need, and the
    hyper-state and hyper-action of the steps that the memory will be updated with.

    Attributes:
        rewards: r_i of every step so far.
        steps: i of the steps that are kept for the memory.
        states: s_i of the steps kept, (state_size,) each.
        actions: a_i of the steps kept, as joint indices.
    """

    rewards: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    states: list[Observation] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)

    @property
    def n_steps(self) -> int:
        """The number of steps so far, which is i of the next one."""
        return len(self.rewards)

    def keep(self, state: Observation, action: int) -> None:
        """Keeps (s_i, a_i) of the next step for the memory."""
        self.steps.append(self.n_steps)
        self.states.append(state)
        self.actions.append(action)

    def kept_returns(self) -> NDArray[np.float64]:
        """G_i of the steps kept, once the episode is over; (kept,)."""
        return hyper_returns(self.rewards)[self.steps]

    def state_dict(self) -> dict[str, Any]:
        """Its lists, copied."""
        return {name: list(items) for name, items in vars(self).items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a `state_dict`."""
        vars(self).update({name: list(state[name]) for name in vars(self)})
