"""The fast backend: updates in closed form on flat arrays, and an environment phase without overhead."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer

from hyperrl_env.learners.arithmetic import Arithmetic
from hyperrl_env.learners.base import InnerLearner
from hyperrl_env.learners.fast.actor_critic import ActorCritic
from hyperrl_env.learners.fast.features import NetworkFeatures
from hyperrl_env.learners.fast.flat_parameters import FlatParameters, flat_optimizer, has_flat_state
from hyperrl_env.learners.fast.linking import Parts, hides_methods, optimises
from hyperrl_env.learners.fast.rollout import can_collect_fast, collect_fast, fast_targets
from hyperrl_env.learners.recording import RecordedPhase
from hyperrl_env.learners.rollout_targets import CollectedRollout, Discounts, Targets
from hyperrl_env.learners.step_guard import has_bounded_steps

Learner = TypeVar("Learner", bound=InnerLearner)


class FastArithmetic(Arithmetic, Generic[Learner]):
    """Flat parameters, an actor-critic in closed form, and the environment phase.

    A policy, an optimiser or a rollout buffer that is not written out in closed form is left to SB3's
    own arithmetic. Of a `CnnPolicy` all but the features extractor is written out. Whatever of them is
    replaced from outside is written out anew, before the next update or phase.

    Args:
        learner: Whose arithmetic it is.
    """

    _at_once: ClassVar[int | None] = 256
    # Whether the optimiser's steps are no longer than `step_guard.LONGEST_STEP`.
    _bounded: ClassVar[bool]

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.actor_critic: ActorCritic | None = None
        self.link()

    def link(self) -> bool:
        """See `Arithmetic.link`."""
        if self.actor_critic is not None:
            if self._is_linked():
                return True
            self.actor_critic = None
        if self._has_closed_form():
            self._write_out()
        return self.actor_critic is not None

    def _is_linked(self) -> bool:
        """Whether nothing has been replaced since `_write_out`."""
        learner = self.learner
        return type(learner.rollout_buffer) is RolloutBuffer and self._parts.are_those_of(learner.policy)

    def _has_closed_form(self) -> bool:
        learner = self.learner
        return type(learner.rollout_buffer) is RolloutBuffer and ActorCritic.fits(learner.policy)

    def _write_out(self) -> None:
        self.flat = FlatParameters(self.learner.policy)
        self.actor_critic = ActorCritic(self.learner.policy, self.flat, self._at_once)
        self._parts = Parts(self.learner.policy)

    @property
    def _policy(self) -> ActorCritic:
        assert self.actor_critic is not None
        return self.actor_critic

    @property
    def draws(self) -> bool:
        """See `Arithmetic.draws`."""
        return True

    def can_collect(self) -> bool:
        """See `Arithmetic.can_collect`."""
        return self.learner.env is not None and can_collect_fast(self.learner.env)

    def collect(self) -> RecordedPhase:
        """See `Arithmetic.collect`."""
        if self.learner._last_obs is None:
            self.learner.restart_inner_episodes()
        with np.errstate(all="ignore"):
            return collect_fast(self.learner, self._policy)

    def targets(self, rollout: CollectedRollout, discounts: Discounts) -> Targets:
        """See `Arithmetic.targets`."""
        return fast_targets(rollout, discounts)

    def _optimise(self, loss: float, **statistics: float) -> None:
        """Clipped step with the gradient that the actor-critic has written."""
        self._share_gradients()
        gradient = self.flat.gradients
        norm = math.sqrt(float(gradient @ gradient))

        def step() -> None:
            # As torch.nn.utils.clip_grad_norm_ does.
            if (scale := self.learner.max_grad_norm / (norm + 1e-6)) < 1:
                np.multiply(gradient, np.float32(scale), out=gradient)
            self._step()

        self.learner.refuse_or_step(
            loss, norm, self.flat.gradient_tensor, step, bounded=self._bounded, **statistics
        )

    @abstractmethod
    def _share_gradients(self) -> None:
        """Makes the flat gradient that of Torch's parameters."""

    @abstractmethod
    def _step(self) -> None:
        """The optimiser's step."""


class FirstOrderArithmetic(FastArithmetic[Learner]):
    """For optimisers that go by the gradient alone: they step on flat arrays, too.

    Attributes:
        rollout: The rollout at hand as columns, one row per sample, for minibatches to be taken from.
    """

    _bounded: ClassVar[bool] = True
    rollout: dict[str, NDArray[Any]]

    def _is_linked(self) -> bool:
        return super()._is_linked() and self._optimizer.serves(self.learner.policy.optimizer)

    def _has_closed_form(self) -> bool:
        policy = self.learner.policy
        optimizer = policy.optimizer
        return (
            has_bounded_steps(optimizer)
            and super()._has_closed_form()
            and optimises(optimizer, policy)
            and has_flat_state(optimizer)
            and not hides_methods(optimizer)
        )

    def _write_out(self) -> None:
        super()._write_out()
        self._optimizer = flat_optimizer(self.learner.policy.optimizer, self.flat)
        if self.learner.rollout_buffer.full:
            self.lay_out()

    @property
    def draws(self) -> bool:
        """See `Arithmetic.draws`."""
        # A features extractor may have dropout.
        return isinstance(self._policy.features, NetworkFeatures)

    def lay_out(self) -> None:
        """See `Arithmetic.lay_out`."""
        buffer = self.learner.rollout_buffer
        size = buffer.buffer_size * buffer.n_envs
        self.rollout = {
            "observations": self._policy.features.rows(buffer.observations.reshape(size, *buffer.obs_shape)),
            "actions": np.asarray(buffer.actions, np.float32).reshape(size, -1),
            "values": np.asarray(buffer.values, np.float32).reshape(size),
            "log_probs": np.asarray(buffer.log_probs, np.float32).reshape(size),
        }
        self.lay_out_targets()

    def lay_out_targets(self) -> None:
        """See `Arithmetic.lay_out_targets`."""
        buffer = self.learner.rollout_buffer
        for name, part in (("advantages", buffer.advantages), ("returns", buffer.returns)):
            self.rollout[name] = np.asarray(part, np.float32).reshape(-1)

    def _share_gradients(self) -> None:
        self.flat.show_gradients()

    def _step(self) -> None:
        self._optimizer.step()
