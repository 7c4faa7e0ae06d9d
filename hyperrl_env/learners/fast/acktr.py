"""The fast backend for ACKTR: gradients and statistics in closed form."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from hyperrl_env.learners.acktr.algorithm import ACKTRLearner
from hyperrl_env.learners.acktr.optimizer import KFAC
from hyperrl_env.learners.fast.base import FastArithmetic
from hyperrl_env.learners.fast.features import NetworkFeatures
from hyperrl_env.learners.fast.linking import optimises
from hyperrl_env.learners.fast.objectives import actor_critic_objective, standardised
from hyperrl_env.numeric.arrays import Floats


class FastACKTR(FastArithmetic[ACKTRLearner]):
    """ACKTR's derivatives are written out; the step is the optimiser's own."""

    # A factor is a mean over the samples that a layer is evaluated on at one time.
    _at_once: ClassVar[int | None] = None
    _bounded: ClassVar[bool] = False

    def _has_closed_form(self) -> bool:
        policy = self.learner.policy
        apart = set(policy.features_extractor.parameters())
        return (
            super()._has_closed_form()
            and self._is_natural()
            # Which layers have statistics depends on what is trained before them.
            and all(p.requires_grad for p in policy.parameters() if p not in apart)
        )

    def _is_linked(self) -> bool:
        return super()._is_linked() and self._is_natural()

    def _is_natural(self) -> bool:
        """Whether the policy's optimiser is that of ACKTR."""
        policy = self.learner.policy
        return type(policy.optimizer) is KFAC and optimises(policy.optimizer, policy)

    def update(self, indices: NDArray[np.int64] | None = None) -> bool:
        """See `Arithmetic.update`; ACKTR takes the whole rollout."""
        # What overflows is found at the end, as in Torch: the loss or the gradient is not finite.
        with np.errstate(all="ignore"):
            self._update()
        return True

    def _update(self) -> None:
        learner, policy = self.learner, self._policy
        learner.set_up_optimizer()
        samples = next(learner.rollout_buffer.get(batch_size=None))
        size = len(samples.advantages)
        actions = np.asarray(samples.actions, np.float32).reshape(size, -1)
        advantages: Floats = samples.advantages.numpy()
        if learner.normalize_advantage:
            advantages = standardised(advantages)
        due = learner.optimizer.statistics_due
        with learner.optimizer.watching(due):
            evaluated = policy.evaluate(policy.features.rows(samples.observations.numpy()), actions)
        if due:
            self._take_statistics(size)
        objective = actor_critic_objective(
            policy,
            evaluated,
            advantages,
            samples.returns.numpy(),
            ent_coef=learner.ent_coef,
            vf_coef=learner.vf_coef,
        )
        self._optimise(**objective)

    def _share_gradients(self) -> None:
        self.flat.share_gradients()

    def _step(self) -> None:
        self.learner.optimizer.step()

    def _take_statistics(self, size: int) -> None:
        """Those of `fisher_loss`."""
        policy, optimizer = self._policy, self.learner.optimizer
        # d/dV of -mean (V - sample)^2 with sample = V + noise is 2 noise / B.
        delta_values = torch.randn(size).numpy() * np.float32(2 / size)
        delta_log_prob = np.full(size, -1 / size, np.float32)
        layers, to_features = policy.layer_derivatives(delta_values, delta_log_prob)
        for layer, inputs, derivatives in layers:
            optimizer.add_statistics(layer, [torch.from_numpy(inputs)], [torch.from_numpy(derivatives)])
        if isinstance(policy.features, NetworkFeatures):
            optimizer.take_statistics(policy.features.loss(to_features))
