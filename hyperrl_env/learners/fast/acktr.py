"""The fast backend for ACKTR: closed-form gradients and statistics, and a lean environment phase."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch

from hyperrl_env.learners.acktr.algorithm import ACKTRLearner
from hyperrl_env.learners.acktr.optimizer import KFAC
from hyperrl_env.learners.fast.actor_critic import ActorCritic
from hyperrl_env.learners.fast.base import FastLearner, standardised, value_objective
from hyperrl_env.learners.fast.features import NetworkFeatures
from hyperrl_env.learners.fast.linking import optimises
from hyperrl_env.numeric.arrays import Floats


class FastACKTRLearner(FastLearner, ACKTRLearner):
    """ACKTR whose derivatives are written out; the step is the optimiser's own."""

    _run_attributes: ClassVar[tuple[str, ...]] = (
        *ACKTRLearner._run_attributes,
        *FastLearner._run_attributes,
    )
    # A factor is a mean over the samples that a layer is evaluated on at one time.
    _at_once: ClassVar[int | None] = None

    def _has_closed_form(self) -> bool:
        apart = set(self.policy.features_extractor.parameters())
        return (
            super()._has_closed_form()
            and self._is_natural()
            # Which layers have statistics depends on what is trained before them.
            and all(p.requires_grad for p in self.policy.parameters() if p not in apart)
        )

    def _is_linked(self) -> bool:
        return super()._is_linked() and self._is_natural()

    def _is_natural(self) -> bool:
        """Whether the policy's optimiser is that of ACKTR."""
        return type(self.policy.optimizer) is KFAC and optimises(self.policy.optimizer, self.policy)

    def _update_on_rollout(self) -> None:
        policy = self._actor_critic
        if policy is None:
            super()._update_on_rollout()
            return
        self._set_up_optimizer()
        samples = next(self.rollout_buffer.get(batch_size=None))
        size = len(samples.advantages)
        actions = np.asarray(samples.actions, np.float32).reshape(size, -1)
        advantages: Floats = samples.advantages.numpy()
        if self.normalize_advantage:
            advantages = standardised(advantages)
        due = self.optimizer.statistics_due
        with self.optimizer.watching(due):
            values, log_prob, entropy = policy.evaluate(
                policy.features.rows(samples.observations.numpy()), actions
            )
        if due:
            self._take_statistics(policy, size)
        policy_loss = -float(advantages @ log_prob) / size
        value_loss, delta_values = value_objective(values, values, samples.returns.numpy(), None)
        policy.gradient(
            np.float32(self.vf_coef) * delta_values, advantages / np.float32(-size), -self.ent_coef
        )
        gradient = self._flat.gradients
        loss = policy_loss - self.ent_coef * entropy + self.vf_coef * value_loss
        norm = math.sqrt(float(gradient @ gradient))
        self._flat.share_gradients()
        unclipped = self._flat.gradient_tensor
        # ACKTR's own is infinite.
        if (scale := self.max_grad_norm / (norm + 1e-6)) < 1:
            unclipped = unclipped.clone()
            gradient *= scale
        if not (math.isfinite(loss + norm) and self._step()):
            self.updates_refused += 1
            return
        self.gradient_history.push(unclipped)
        self._note(
            loss=loss, grad_norm=norm, policy_loss=policy_loss, value_loss=value_loss, entropy_loss=-entropy
        )

    def _take_statistics(self, policy: ActorCritic, size: int) -> None:
        """Those of `acktr.fisher_loss`."""
        # d/dV of -mean (V - sample)^2 with sample = V + noise is 2 noise / B.
        delta_values = torch.randn(size).numpy() * np.float32(2 / size)
        delta_log_prob = np.full(size, -1 / size, np.float32)
        layers, to_features = policy.layer_derivatives(delta_values, delta_log_prob)
        for layer, inputs, derivatives in layers:
            self.optimizer.add_statistics(layer, [torch.from_numpy(inputs)], [torch.from_numpy(derivatives)])
        if isinstance(policy.features, NetworkFeatures):
            self.optimizer.take_statistics(policy.features.loss(to_features))
