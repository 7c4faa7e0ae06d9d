"""The contract of an arithmetic: what can do a learner's rollouts and updates in the place of SB3's own."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from hyperrl_env.learners.recording import RecordedPhase
from hyperrl_env.learners.rollout_targets import CollectedRollout, Discounts, Targets


class Arithmetic(ABC):
    """Another way to do a learner's rollouts and updates than Stable-Baselines3's own arithmetic."""

    @abstractmethod
    def link(self) -> bool:
        """Fits this arithmetic to the learner's present policy, optimiser and buffer.

        Returns:
            Whether they are of the kinds that it knows.
        """

    @property
    @abstractmethod
    def draws(self) -> bool:
        """Whether an update draws from the global random generators."""

    @abstractmethod
    def can_collect(self) -> bool:
        """Whether rollouts in the learner's environments can be collected this way, too."""

    @abstractmethod
    def collect(self) -> RecordedPhase:
        """Collects a rollout into the rollout buffer."""

    @abstractmethod
    def targets(self, rollout: CollectedRollout, discounts: Discounts) -> Targets:
        """Advantages and returns of a rollout, (T, N) each, with the gamma and lambda given."""

    def lay_out(self) -> None:
        """Called once the rollout buffer holds another rollout, or the same one laid out anew."""
        return

    def lay_out_targets(self) -> None:
        """Called once the rollout buffer holds other targets of the same rollout."""
        return

    @abstractmethod
    def update(self, indices: NDArray[np.int64] | None = None) -> bool:
        """Does one update, or refuses it.

        Args:
            indices: The samples of the rollout to take, (B,); None: all of them.

        Returns:
            False if `target_kl` ended the update phase instead.
        """
