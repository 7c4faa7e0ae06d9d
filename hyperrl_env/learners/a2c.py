"""A2C as an inner learner: SB3's A2C, whose update phase is one update on the whole rollout."""

from __future__ import annotations

from typing import ClassVar

import torch
from gymnasium import spaces
from stable_baselines3 import A2C
from torch.nn import functional

from hyperrl_env.learners.single_update import WholeRolloutLearner


class A2CLearner(WholeRolloutLearner, A2C):
    """SB3's A2C in single updates."""

    offered: ClassVar[tuple[str, ...]] = (
        "learning_rate",
        "gae_lambda",
        "gamma",
        "n_steps",
        "ent_coef",
        "vf_coef",
        "max_grad_norm",
    )

    def _update_on_rollout(self) -> None:
        samples = next(self.rollout_buffer.get(batch_size=None))
        actions = samples.actions
        if isinstance(self.action_space, spaces.Discrete):
            actions = actions.long().flatten()
        values, log_prob, entropy = self.policy.evaluate_actions(samples.observations, actions)
        advantages = samples.advantages
        if self.normalize_advantage:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)

        policy_loss = -(advantages * log_prob).mean()
        value_loss = functional.mse_loss(samples.returns, values.flatten())
        # Without a closed form the entropy is estimated from the samples.
        entropy_loss = -torch.mean(-log_prob if entropy is None else entropy)
        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        self._optimise(loss, policy_loss=policy_loss, value_loss=value_loss, entropy_loss=entropy_loss)
