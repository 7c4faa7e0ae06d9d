"""The fast backend: PPO and A2C with closed-form updates and a lean environment phase."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer

from hyperrl_env.learners.a2c import A2CLearner
from hyperrl_env.learners.base import InnerLearner, RecordedPhase
from hyperrl_env.learners.fast.actor_critic import ActorCritic
from hyperrl_env.learners.fast.features import NetworkFeatures
from hyperrl_env.learners.fast.flat_parameters import FlatParameters, flat_optimizer, has_flat_state
from hyperrl_env.learners.fast.linking import Parts, hides_methods, optimises
from hyperrl_env.learners.fast.rollout import can_collect_fast, collect_fast, fast_targets
from hyperrl_env.learners.ppo import PPOLearner
from hyperrl_env.learners.rollout_targets import CollectedRollout, Discounts, Targets
from hyperrl_env.learners.step_guard import LastGoodState, has_bounded_steps, headroom
from hyperrl_env.numeric.arrays import Floats


def between(x: Floats, low: float, high: float) -> Floats:
    """np.clip, in a third of its time on small arrays."""
    limited: Floats = np.minimum(np.maximum(x, np.float32(low)), np.float32(high))
    return limited


def standardised(x: Floats) -> Floats:
    """Zero mean and unit (unbiased) standard deviation, as SB3 normalises advantages; (B,).

    Of a single number NaN, as there: the update is refused.
    """
    centred: Floats = x - x.sum() / len(x)
    variance = float(centred @ centred) / (len(x) - 1 or math.nan)
    return centred / np.float32(math.sqrt(variance) + 1e-8)


def value_objective(
    values: Floats, old_values: Floats, returns: Floats, clip: float | None
) -> tuple[float, Floats]:
    """Mean squared error of the values, clipped around the old ones where `clip` is given."""
    inside = None
    if clip is not None:
        change = values - old_values
        inside = np.abs(change) <= clip
        values = old_values + between(change, -clip, clip)
    error = values - returns
    slope = np.float32(2 / len(error)) * error
    return float(error @ error) / len(error), slope if inside is None else slope * inside


def ppo_policy_objective(log_ratio: Floats, advantages: Floats, clip: float) -> tuple[float, Floats, Floats]:
    """PPO's clipped surrogate loss (Schulman et al. 2017, Eq. 7), its derivative, and the ratio."""
    ratio: Floats = np.exp(log_ratio)
    plain = advantages * ratio
    clipped = advantages * between(ratio, 1 - clip, 1 + clip)
    # The gradient flows where the minimum is the plain term; inside the clip both are the same.
    delta: Floats = plain * (plain <= clipped)
    delta /= -len(plain)
    return -float(np.minimum(plain, clipped).sum()) / len(plain), delta, ratio


class FastLearner(InnerLearner):
    """What the fast learners share: flat parameters, and the lean environment phase.

    A policy, an optimiser or a rollout buffer that is not written out in closed form is left to SB3's
    own arithmetic; `is_fast` says so. Of a `CnnPolicy` all but the features extractor is written out.
    Whatever of them is replaced from outside is written out anew, before the next update or phase.
    """

    _run_attributes: ClassVar[tuple[str, ...]] = ("_flat", "_actor_critic", "_parts", "_looked")
    _at_once: ClassVar[int | None] = 256

    _actor_critic: ActorCritic | None

    def _setup_model(self) -> None:
        super()._setup_model()
        self._actor_critic = None
        # Whether `_link` was called for the update that comes next.
        self._looked = False
        self._link()

    def _link(self) -> None:
        """Sees to it that what is written out is the policy and the optimiser that are there now."""
        if self._actor_critic is not None:
            if self._is_linked():
                return
            self._actor_critic = None
        if self._has_closed_form():
            self._write_out()

    def _is_linked(self) -> bool:
        """Whether nothing has been replaced since `_write_out`."""
        return type(self.rollout_buffer) is RolloutBuffer and self._parts.are_those_of(self.policy)

    def _has_closed_form(self) -> bool:
        return type(self.rollout_buffer) is RolloutBuffer and ActorCritic.fits(self.policy)

    def _write_out(self) -> None:
        self._flat = FlatParameters(self.policy)
        self._actor_critic = ActorCritic(self.policy, self._flat, self._at_once)
        self._parts = Parts(self.policy)

    @property
    def is_fast(self) -> bool:
        """See `InnerLearner.is_fast`."""
        self._link()
        return self._actor_critic is not None

    def policy_update(self, values: Mapping[str, float]) -> None:
        """See `InnerLearner.policy_update`."""
        if not self._looked:
            self._link()
        self._looked = False
        # What overflows is found at the end, as in Torch: the loss or the gradient is not finite.
        with np.errstate(all="ignore"):
            super().policy_update(values)

    def _estimate_targets(self, rollout: CollectedRollout, discounts: Discounts) -> Targets:
        if self._actor_critic is None:
            return super()._estimate_targets(rollout, discounts)
        return fast_targets(rollout, discounts)

    def _collect(self) -> RecordedPhase:
        self._link()
        if self._actor_critic is None or self.env is None or not can_collect_fast(self.env):
            return super()._collect()
        if self._last_obs is None:
            self.restart_inner_episodes()
        with np.errstate(all="ignore"):
            return collect_fast(self, self._actor_critic)


class FirstOrderLearner(FastLearner):
    """A fast learner whose optimiser goes by the gradient alone, on flat arrays too."""

    _run_attributes: ClassVar[tuple[str, ...]] = (
        *FastLearner._run_attributes,
        "_flat_optimizer",
        "_rollout",
    )

    def _is_linked(self) -> bool:
        return super()._is_linked() and self._flat_optimizer.serves(self.policy.optimizer)

    def _has_closed_form(self) -> bool:
        optimizer = self.policy.optimizer
        return (
            has_bounded_steps(optimizer)
            and super()._has_closed_form()
            and optimises(optimizer, self.policy)
            and has_flat_state(optimizer)
            and not hides_methods(optimizer)
        )

    def _write_out(self) -> None:
        super()._write_out()
        self._flat_optimizer = flat_optimizer(self.policy.optimizer, self._flat)
        if self.rollout_buffer.full:
            self._lay_out_rollout()

    @property
    def update_draws(self) -> bool:
        """See `InnerLearner.update_draws`; to be asked right before the update."""
        self._link()
        self._looked = True
        # A features extractor may have dropout.
        return self._actor_critic is None or isinstance(self._actor_critic.features, NetworkFeatures)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `InnerLearner.load_state_dict`."""
        super().load_state_dict(state)
        self._lay_out_rollout()

    def _lay_out_rollout(self) -> None:
        """The rollout as columns, one row per sample, for minibatches to be taken from."""
        if self._actor_critic is None:
            return
        buffer = self.rollout_buffer
        size = buffer.buffer_size * buffer.n_envs
        observations = buffer.observations.reshape(size, *buffer.obs_shape)
        self._rollout: dict[str, NDArray[Any]] = {
            "observations": self._actor_critic.features.rows(observations),
            "actions": np.asarray(buffer.actions, np.float32).reshape(size, -1),
            **{
                name: np.asarray(getattr(buffer, name), np.float32).reshape(size)
                for name in ("values", "log_probs", "advantages", "returns")
            },
        }

    def _set_targets(self, targets: Targets) -> None:
        super()._set_targets(targets)
        if self._actor_critic is not None:
            buffer = self.rollout_buffer
            for name, part in (("advantages", buffer.advantages), ("returns", buffer.returns)):
                self._rollout[name] = np.asarray(part, np.float32).reshape(-1)

    def _optimise_flat(self, loss: float, **statistics: float) -> None:
        """`InnerLearner._optimise` for a gradient that the actor-critic has already written."""
        self._flat.show_gradients()
        gradient = self._flat.gradients
        norm = math.sqrt(float(gradient @ gradient))
        if not math.isfinite(loss + norm):
            self.updates_refused += 1
            return
        certain = self._has_headroom()
        before = None if certain else (LastGoodState(self.policy), gradient.copy())
        if certain:
            self.gradient_history.push(self._flat.gradient_tensor)
        # As torch.nn.utils.clip_grad_norm_ does.
        if (scale := self.max_grad_norm / (norm + 1e-6)) < 1:
            gradient *= scale
        self._flat_optimizer.step()
        if before is not None:
            state, unclipped = before
            if not headroom(self.policy) >= 0:
                state.restore()
                self.updates_refused += 1
                return
            self.gradient_history.push(torch.from_numpy(unclipped))
        self._note(loss=loss, grad_norm=norm, **statistics)


class FastPPOLearner(FirstOrderLearner, PPOLearner):
    """PPO with closed-form updates."""

    _run_attributes: ClassVar[tuple[str, ...]] = (
        *PPOLearner._run_attributes,
        *FirstOrderLearner._run_attributes,
    )

    def _begin_update_phase(self) -> None:
        super()._begin_update_phase()
        self._lay_out_rollout()

    @property
    def update_draws(self) -> bool:
        """See `InnerLearner.update_draws`."""
        return self._start == 0 or super().update_draws

    def _update_on(self, indices: NDArray[np.int64]) -> bool:
        policy = self._actor_critic
        if policy is None:
            return super()._update_on(indices)
        rollout = {name: column.take(indices, axis=0) for name, column in self._rollout.items()}
        progress = self._current_progress_remaining
        advantages = rollout["advantages"]
        if self.normalize_advantage and len(advantages) > 1:
            advantages = standardised(advantages)
        values, log_prob, entropy = policy.evaluate(rollout["observations"], rollout["actions"])
        clip = self.clip_range(progress)
        log_ratio = log_prob - rollout["log_probs"]
        policy_loss, delta_log_prob, ratio = ppo_policy_objective(log_ratio, advantages, clip)
        clip_vf = None if self.clip_range_vf is None else self.clip_range_vf(progress)
        value_loss, delta_values = value_objective(values, rollout["values"], rollout["returns"], clip_vf)
        change = ratio - 1
        approx_kl = float((change - log_ratio).sum()) / len(ratio)
        if self._too_far(approx_kl):
            return False
        policy.gradient(np.float32(self.vf_coef) * delta_values, delta_log_prob, -self.ent_coef)
        self._optimise_flat(
            policy_loss - self.ent_coef * entropy + self.vf_coef * value_loss,
            policy_gradient_loss=policy_loss,
            value_loss=value_loss,
            entropy_loss=-entropy,
            approx_kl=approx_kl,
            clip_fraction=np.count_nonzero(np.abs(change) > clip) / len(ratio),
        )
        return True


class FastA2CLearner(FirstOrderLearner, A2CLearner):
    """A2C with closed-form updates."""

    _run_attributes: ClassVar[tuple[str, ...]] = (
        *A2CLearner._run_attributes,
        *FirstOrderLearner._run_attributes,
    )

    def _begin_update_phase(self) -> None:
        super()._begin_update_phase()
        self._lay_out_rollout()

    def _update_on_rollout(self) -> None:
        policy = self._actor_critic
        if policy is None:
            super()._update_on_rollout()
            return
        rollout = self._rollout
        advantages: Floats = rollout["advantages"]
        if self.normalize_advantage:
            advantages = standardised(advantages)
        values, log_prob, entropy = policy.evaluate(rollout["observations"], rollout["actions"])
        policy_loss = -float(advantages @ log_prob) / len(advantages)
        value_loss, delta_values = value_objective(values, values, rollout["returns"], None)
        policy.gradient(
            np.float32(self.vf_coef) * delta_values, advantages / np.float32(-len(advantages)), -self.ent_coef
        )
        self._optimise_flat(
            policy_loss - self.ent_coef * entropy + self.vf_coef * value_loss,
            policy_loss=policy_loss,
            value_loss=value_loss,
            entropy_loss=-entropy,
        )
