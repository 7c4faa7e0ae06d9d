"""The fast backend for PPO."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hyperrl_env.learners.fast.base import FirstOrderArithmetic
from hyperrl_env.learners.fast.objectives import ppo_policy_objective, standardised, value_objective
from hyperrl_env.learners.ppo import PPOLearner


class FastPPO(FirstOrderArithmetic[PPOLearner]):
    """PPO's updates in closed form."""

    def update(self, indices: NDArray[np.int64] | None = None) -> bool:
        """See `Arithmetic.update`."""
        # What overflows is found at the end, as in Torch: the loss or the gradient is not finite.
        with np.errstate(all="ignore"):
            return self._update(indices)

    def _update(self, indices: NDArray[np.int64] | None) -> bool:
        learner, policy, rollout = self.learner, self._policy, self.rollout
        if indices is not None:
            rollout = {name: column.take(indices, axis=0) for name, column in rollout.items()}
        progress = learner._current_progress_remaining
        advantages = rollout["advantages"]
        if learner.normalize_advantage and len(advantages) > 1:
            advantages = standardised(advantages)
        values, log_prob, entropy = policy.evaluate(rollout["observations"], rollout["actions"])
        clip = learner.clip_range(progress)
        log_ratio = log_prob - rollout["log_probs"]
        policy_loss, delta_log_prob, ratio = ppo_policy_objective(log_ratio, advantages, clip)
        clip_vf = None if learner.clip_range_vf is None else learner.clip_range_vf(progress)
        value_loss, delta_values = value_objective(values, rollout["values"], rollout["returns"], clip_vf)
        change = ratio - 1
        approx_kl = float((change - log_ratio).sum()) / len(ratio)
        if learner.is_too_far(approx_kl):
            return False
        policy.gradient(np.float32(learner.vf_coef) * delta_values, delta_log_prob, -learner.ent_coef)
        self._optimise(
            policy_loss - learner.ent_coef * entropy + learner.vf_coef * value_loss,
            policy_gradient_loss=policy_loss,
            value_loss=value_loss,
            entropy_loss=-entropy,
            approx_kl=approx_kl,
            clip_fraction=np.count_nonzero(np.abs(change) > clip) / len(ratio),
        )
        return True
