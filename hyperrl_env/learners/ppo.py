"""PPO as an inner learner: SB3's PPO, one minibatch update at a time."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.utils import FloatSchedule
from torch.nn import functional

from hyperrl_env.learners.arithmetic import Arithmetic
from hyperrl_env.learners.base import InnerLearner
from hyperrl_env.learners.update_phase import MinibatchPhase, UpdatePhase


def minibatch_stop(start: int, rollout_size: int, batch_size: int, default_batch_size: int) -> int:
    """Where the minibatch that begins at `start` of an epoch's permutation ends.

    It holds `batch_size` samples; a remainder of the epoch smaller than half of that joins it, so
    that no update sees only a handful of samples. On SB3's own grid (the default batch size, from a
    multiple of it) the remainder is a minibatch of its own, as in SB3.
    """
    stop = start + batch_size
    on_default_grid = batch_size == default_batch_size and start % batch_size == 0
    if rollout_size - stop < batch_size / 2 and not on_default_grid:
        return rollout_size
    return min(stop, rollout_size)


class PPOLearner(InnerLearner, PPO):
    """SB3's PPO in single updates; a batch size acts on the very minibatch it is chosen for.

    How many epochs an update phase has is decided as each of them ends, by the `n_epochs` then in force.

    The value function's clip, where `clip_range_vf` is given, keeps its ratio to the policy's
    clip when a hyper-action changes that one.
    """

    offered: ClassVar[tuple[str, ...]] = (
        "learning_rate",
        "clip_range",
        "gae_lambda",
        "gamma",
        "batch_size",
        "n_epochs",
        "n_steps",
        "ent_coef",
        "vf_coef",
        "max_grad_norm",
    )
    reported: ClassVar[tuple[str, ...]] = (
        *("loss", "grad_norm", "policy_gradient_loss", "value_loss", "entropy_loss"),
        *("approx_kl", "clip_fraction", "explained_variance"),
    )
    phase_class: ClassVar[type[UpdatePhase]] = MinibatchPhase

    # SB3 takes numbers in the constructor and holds schedules from then on.
    clip_range: FloatSchedule
    clip_range_vf: FloatSchedule | None
    update_phase: MinibatchPhase

    def settings(self) -> dict[str, Any]:
        """See `InnerLearner.settings`."""
        return {**super().settings(), "clip_range_vf": self.clip_range_vf}

    def _prepare_rollout(self) -> None:
        # SB3's buffer lays itself out flat inside get(), which also draws a permutation; that draw
        # is taken back, because each epoch draws its own.
        state = np.random.get_state()
        next(self.rollout_buffer.get(1))
        np.random.set_state(state)

    @property
    def _rollout_size(self) -> int:
        return self.rollout_buffer.buffer_size * self.n_envs

    @property
    def update_position(self) -> float:
        """See `InnerLearner.update_position`."""
        phase = self.update_phase
        if phase.finished:
            return 1.0
        return min((phase.epoch + phase.start / self._rollout_size) / self.n_epochs, 1.0)

    @property
    def epoch(self) -> int:
        """See `InnerLearner.epoch`."""
        return self.update_phase.epoch

    def _next_update_draws(self) -> bool:
        return self.update_phase.start == 0

    def _apply(self, name: str, value: float) -> None:
        if name != "clip_range":
            super()._apply(name, value)
            return
        self.clip_range = FloatSchedule(value)
        if (default_vf := self._defaults["clip_range_vf"]) is not None:
            default = self.default_values()["clip_range"]
            ratio = value / default if default else 1.0
            self.clip_range_vf = FloatSchedule(default_vf(self._current_progress_remaining) * ratio)

    def _in_force(self, name: str) -> float:
        if name == "clip_range":
            return float(self.clip_range(self._current_progress_remaining))
        return super()._in_force(name)

    def _update(self, fast: Arithmetic | None) -> None:
        phase = self.update_phase
        if phase.start == 0:
            # Not before its first update, as in SB3: `target_kl` may end the phase first.
            phase.permutation = np.random.permutation(self._rollout_size)
        stop = minibatch_stop(
            phase.start, self._rollout_size, self.batch_size, int(self._defaults["batch_size"])
        )
        indices = phase.permutation[phase.start : stop]
        phase.start = stop
        if not (self._update_on(indices) if fast is None else fast.update(indices)):
            self._n_updates += 1
            phase.finished = True
        elif stop == self._rollout_size:
            self._n_updates += 1
            phase.epoch += 1
            phase.start = 0
            phase.finished = phase.epoch >= self.n_epochs

    def _update_on(self, indices: NDArray[np.int64]) -> bool:
        """One update on these samples of the rollout; False where `target_kl` ends the phase instead."""
        samples = self.rollout_buffer._get_samples(indices)
        actions = samples.actions
        if isinstance(self.action_space, spaces.Discrete):
            actions = actions.long().flatten()
        values, log_prob, entropy = self.policy.evaluate_actions(samples.observations, actions)
        values = values.flatten()
        advantages = samples.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)

        # Clipped surrogate objective (Schulman et al. 2017, Eq. 7).
        clip_range = self.clip_range(self._current_progress_remaining)
        log_ratio = log_prob - samples.old_log_prob
        ratio = torch.exp(log_ratio)
        clipped = advantages * torch.clamp(ratio, 1 - clip_range, 1 + clip_range)
        policy_loss = -torch.min(advantages * ratio, clipped).mean()

        if self.clip_range_vf is not None:
            clip_range_vf = self.clip_range_vf(self._current_progress_remaining)
            values = samples.old_values + torch.clamp(
                values - samples.old_values, -clip_range_vf, clip_range_vf
            )
        value_loss = functional.mse_loss(samples.returns, values)
        # Without a closed form the entropy is estimated from the samples.
        entropy_loss = -torch.mean(-log_prob if entropy is None else entropy)
        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss

        with torch.no_grad():
            # Low-variance estimate of KL(old || new): http://joschu.net/blog/kl-approx.html
            approx_kl = torch.mean((torch.exp(log_ratio) - 1) - log_ratio)
            clip_fraction = torch.mean((torch.abs(ratio - 1) > clip_range).float())
        if self.is_too_far(float(approx_kl)):
            return False
        self._optimise(
            loss,
            policy_gradient_loss=policy_loss,
            value_loss=value_loss,
            entropy_loss=entropy_loss,
            approx_kl=approx_kl,
            clip_fraction=clip_fraction,
        )
        return True

    def is_too_far(self, approx_kl: float) -> bool:
        """Whether SB3's `target_kl` forbids the update."""
        return self.target_kl is not None and approx_kl > 1.5 * self.target_kl
