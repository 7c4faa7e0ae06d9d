"""What an update phase remembers from one update to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass
class UpdatePhase:
    """The updates on one rollout so far. Its fields are what is saved of it.

    Attributes:
        update_step: Updates done, refused ones included.
        updates_refused: How many of them were refused.
        finished: Whether every update on the rollout is done.
        headroom: How far every parameter may still move before the policy can be unusable; negative
            where it has to be measured anew.
        statistics: By name, a number for every update that was applied.
    """

    update_step: int = 0
    updates_refused: int = 0
    finished: bool = False
    headroom: float = -1.0
    statistics: dict[str, list[float]] = field(default_factory=dict)

    def note(self, statistics: Mapping[str, float]) -> None:
        """Adds the statistics of an update that was applied."""
        for name, value in statistics.items():
            self.statistics.setdefault(name, []).append(value)

    def state_dict(self) -> dict[str, Any]:
        """All fields, statistics as arrays."""
        statistics = {name: np.array(values, np.float64) for name, values in self.statistics.items()}
        return {**vars(self), "statistics": statistics}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """What `state_dict` was taken of."""
        statistics = {name: values.tolist() for name, values in state["statistics"].items()}
        return cls(**{**state, "statistics": statistics})


@dataclass
class MinibatchPhase(UpdatePhase):
    """An update phase that goes through its rollout in minibatches, epoch by epoch.

    Attributes:
        epoch: Passes over the rollout that are done.
        start: Where the next minibatch begins in this epoch's permutation.
        permutation: The order in which this epoch takes the samples.
    """

    epoch: int = 0
    start: int = 0
    permutation: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
