"""The fast backend for A2C."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hyperrl_env.learners.a2c import A2CLearner
from hyperrl_env.learners.fast.base import FirstOrderArithmetic
from hyperrl_env.learners.fast.objectives import actor_critic_objective, standardised


class FastA2C(FirstOrderArithmetic[A2CLearner]):
    """A2C's update in closed form."""

    def update(self, indices: NDArray[np.int64] | None = None) -> bool:
        """See `Arithmetic.update`; A2C takes the whole rollout."""
        learner, rollout = self.learner, self.rollout
        # What overflows is found at the end, as in Torch: the loss or the gradient is not finite.
        with np.errstate(all="ignore"):
            advantages = rollout["advantages"]
            if learner.normalize_advantage:
                advantages = standardised(advantages)
            evaluated = self._policy.evaluate(rollout["observations"], rollout["actions"])
            self._optimise(
                **actor_critic_objective(
                    self._policy,
                    evaluated,
                    advantages,
                    rollout["returns"],
                    ent_coef=learner.ent_coef,
                    vf_coef=learner.vf_coef,
                )
            )
        return True
