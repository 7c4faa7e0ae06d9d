"""The fast backend for ACKTR: a lean environment phase; the update is ACKTR's own."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from hyperrl_env.learners.acktr import ACKTRLearner
from hyperrl_env.learners.base import RecordedPhase
from hyperrl_env.learners.closed_form import ActorCritic
from hyperrl_env.learners.flat import FlatParameters
from hyperrl_env.learners.lean_rollout import collect_lean, is_lean


class CompiledACKTRLearner(ACKTRLearner):
    """ACKTR whose environment phase takes most of what it computes at once.

    Rollouts of a few steps in many environments leave the environment phase most of the time. Policies
    that are not written out in closed form collect as Stable-Baselines3 does; `compiled` tells.
    """

    _run_attributes: ClassVar[tuple[str, ...]] = (*ACKTRLearner._run_attributes, "_actor_critic")

    _actor_critic: ActorCritic | None

    def _setup_model(self) -> None:
        super()._setup_model()
        fits = ActorCritic.fits(self.policy)
        self._actor_critic = ActorCritic(self.policy, FlatParameters(self.policy)) if fits else None

    @property
    def compiled(self) -> bool:
        """See `InnerLearner.compiled`."""
        return self._actor_critic is not None

    def _collect(self) -> RecordedPhase:
        if self._actor_critic is None or not is_lean(self.env):
            return super()._collect()
        with np.errstate(all="ignore"):
            return collect_lean(self, self._actor_critic)
