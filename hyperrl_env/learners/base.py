"""The contract of an inner learner: an SB3 on-policy algorithm that is driven one update at a time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import explained_variance, update_learning_rate
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import Tensor

from hyperrl_env.hyper_reward import EnvironmentPhase
from hyperrl_env.hyperparameters import definition
from hyperrl_env.inner_envs.atari import RAW_REWARD
from hyperrl_env.learners.gradient_history import GradientHistory
from hyperrl_env.learners.resumable import ResumableAlgorithm
from hyperrl_env.learners.rollout_targets import (
    CollectedRollout,
    Discounts,
    RolloutTargets,
    Targets,
    sb3_targets,
)
from hyperrl_env.learners.step_guard import LONGEST_STEP, LastGoodState, has_bounded_steps, headroom


class RecordedPhase(NamedTuple):
    """What SB3's rollout buffer does not keep of an environment phase of T steps in N environments.

    Attributes:
        rewards: Raw, (T, N).
        dones: Whether an inner episode ended, on Atari by a lost life too, (T, N).
        episode_returns: Of the inner episodes that ended, on Atari of whole games; undiscounted.
        episode_lengths: In environment steps; on Atari in frames.
        finite: Whether all observations were; those that were not have become 0.
        rollout: What advantages and returns are computed from.
    """

    rewards: NDArray[np.floating]
    dones: NDArray[np.bool_]
    episode_returns: list[float]
    episode_lengths: list[int]
    finite: bool
    rollout: CollectedRollout


class PhaseRecorder(BaseCallback):
    """Keeps what SB3's rollout buffer does not: raw rewards, episode ends and episode statistics.

    Observations that are not finite become 0, so that the policy can go on acting.

    Attributes:
        finite: Whether there were none in this phase.
    """

    finite = True

    def _on_rollout_start(self) -> None:
        self.finite = replace_nonfinite(self.model._last_obs)
        self.rewards: list[NDArray[np.floating]] = []
        self.learned_rewards: list[NDArray[np.floating]] = []
        self.time_limit_values: list[NDArray[np.float32]] = []
        self.dones: list[NDArray[np.bool_]] = []
        self.episode_returns: list[float] = []
        self.episode_lengths: list[int] = []

    def _on_step(self) -> bool:
        self.finite &= replace_nonfinite(self.locals["new_obs"])
        self.rewards.append(self._raw_rewards())
        # SB3 adds the bootstrap of a time limit to `rewards` in place after this call: copy now.
        self.learned_rewards.append(self.locals["rewards"].copy())
        self.time_limit_values.append(self._time_limit_values())
        self.dones.append(self.locals["dones"])
        for info in self.locals["infos"]:
            if "episode" in info:
                self.episode_returns.append(float(info["episode"]["r"]))
                self.episode_lengths.append(int(info["episode"]["l"]))
        return True

    def _raw_rewards(self) -> NDArray[np.floating]:
        infos, normalizer = self.locals["infos"], self.model.get_vec_normalize_env()
        if RAW_REWARD in infos[0]:
            return np.array([info[RAW_REWARD] for info in infos], np.float32)
        if normalizer is not None:
            return normalizer.get_original_reward()
        return cast(NDArray[np.floating], self.locals["rewards"].copy())

    @torch.no_grad()
    def _time_limit_values(self) -> NDArray[np.float32]:
        policy = cast(ActorCriticPolicy, self.model.policy)
        values = np.zeros(len(self.locals["dones"]), np.float32)
        for i in np.flatnonzero(self.locals["dones"]):
            info = self.locals["infos"][i]
            if info.get("TimeLimit.truncated", False) and info.get("terminal_observation") is not None:
                # To the bit what SB3 bootstraps with: one observation by itself.
                observation, _ = policy.obs_to_tensor(info["terminal_observation"])
                values[i] = policy.predict_values(cast(Tensor, observation)).item()
        return values


def replace_nonfinite(observations: Any) -> bool:
    """Sets to 0, in place, what is not finite in float32, the policy's type; whether there was nothing."""
    parts = observations.values() if isinstance(observations, dict) else (observations,)
    finite = True
    for part in parts:
        if part.dtype.kind == "f":
            with np.errstate(over="ignore"):
                good = np.isfinite(part.astype(np.float32, copy=False))
            if not good.all():
                part[~good] = 0.0
                finite = False
    return finite


def _is_finite(normalizer: VecNormalize | None) -> bool:
    """Whether the running variances of observations are: past overflow all normalised observations are 0."""
    if normalizer is None or not normalizer.norm_obs:
        return True
    statistics = normalizer.obs_rms
    parts = statistics.values() if isinstance(statistics, dict) else (statistics,)
    return all(np.isfinite(part.var).all() for part in parts)


class InnerLearner(ResumableAlgorithm):
    """An SB3 on-policy algorithm, taken apart into environment phases and single policy updates.

    A subclass inherits from this class and from an SB3 algorithm, in this order, and says how one
    update is done. It stays that SB3 algorithm: `learn`, `predict`, `save`, policies, buffers and
    VecNormalize work as ever. With the default hyperparameters at every update, the calls

        learner.start_run(total_env_steps, gradient_order=0)
        while True:
            learner.environment_phase()
            while not learner.update_phase_finished:
                learner.policy_update(learner.default_values())

    leave the same bits as SB3's own `learn(total_env_steps)`.

    Attributes:
        offered: Names of the hyperparameters that this algorithm offers.
        gradient_history: The last gradients of the objective, before clipping.
        update_step: Policy updates done in this update phase, refused ones included.
        updates_refused: How many of them were refused because loss or gradient was not finite, or
            the policy after them could not act.
    """

    offered: ClassVar[tuple[str, ...]]
    _run_attributes: ClassVar[tuple[str, ...]] = (
        "gradient_history",
        "update_step",
        "updates_refused",
        "_defaults",
        "_last_episode_return",
        "_recorder",
        "_reward_gamma",
        "_headroom",
        "_statistics",
        "_targets",
    )
    update_step: int
    updates_refused: int

    # ------------------------------------------------------------------ the contract

    @abstractmethod
    def _begin_update_phase(self) -> None:
        """Prepares the first update on the rollout that was just collected."""

    @abstractmethod
    def _update(self) -> None:
        """Does exactly one policy update with the hyperparameters in force."""

    @property
    @abstractmethod
    def update_phase_finished(self) -> bool:
        """Whether every update on the rollout at hand is done."""

    @property
    @abstractmethod
    def update_position(self) -> float:
        """Fraction of the update phase that is done, in [0, 1]."""

    @property
    def epoch(self) -> int:
        """Passes over the rollout that are done in this update phase."""
        return int(self.update_phase_finished)

    @property
    def is_fast(self) -> bool:
        """Whether updates take the fast way, instead of SB3's own arithmetic."""
        return False

    @property
    def update_draws(self) -> bool:
        """Whether a policy update can draw from the global random generators."""
        return True

    # ------------------------------------------------------------------ driving it

    @property
    def model(self) -> OnPolicyAlgorithm:
        """The Stable-Baselines3 algorithm object: the learner itself."""
        return self

    def _setup_model(self) -> None:
        super()._setup_model()
        # By now SB3 has turned what may be scheduled into schedules.
        self._defaults = {name: getattr(self, name) for name in self.offered} | {
            "learning_rate": self.lr_schedule
        }

    def start_run(self, total_env_steps: int, gradient_order: int) -> None:
        """Resets the inner environments and everything that counts.

        Args:
            total_env_steps: The budget, which learning-rate decay refers to.
            gradient_order: N_order, how many gradients the history keeps.
        """
        self._reward_gamma = self.gamma
        self._last_episode_return = 0.0
        self._recorder = PhaseRecorder()
        self.gradient_history = GradientHistory(self.policy.parameters(), gradient_order)
        _, callback = self._setup_learn(total_env_steps, self._recorder)
        callback.on_training_start(locals(), globals())

    def environment_phase(self) -> EnvironmentPhase:
        """Collects `n_steps * n_envs` transitions with the frozen policy; the update phase follows."""
        recorded = self._collect()
        if not (recorded.finite and _is_finite(self.get_vec_normalize_env())):
            # Nobody knows what came of the actions: every update on this rollout is to be refused.
            self.rollout_buffer.advantages[:] = np.nan
            recorded.rollout.rewards[:] = np.nan
        buffer = self.rollout_buffer
        self._targets = RolloutTargets(
            recorded.rollout, self._discounts, Targets(buffer.advantages, buffer.returns)
        )
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        phase = EnvironmentPhase(
            rewards=recorded.rewards,
            dones=recorded.dones,
            value_targets=self.rollout_buffer.returns.copy(),
            episode_returns=tuple(recorded.episode_returns),
            episode_lengths=tuple(recorded.episode_lengths),
            last_episode_return=self._last_episode_return,
            gamma=self._reward_gamma,
        )
        if phase.episode_returns and math.isfinite(last := float(np.mean(phase.episode_returns))):
            self._last_episode_return = last
        self.update_step = 0
        self.updates_refused = 0
        self._statistics: dict[str, list[Tensor | float]] = {}
        # Measured anew: between update phases others may have set the parameters.
        self._headroom = -1.0
        self.policy.set_training_mode(True)
        self._begin_update_phase()
        return phase

    def policy_update(self, values: Mapping[str, float]) -> None:
        """Does exactly one policy update.

        Args:
            values: Hyperparameters by name; those not named take the task's default.
        """
        for name, value in (self.default_values() | dict(values)).items():
            self._apply(name, value)
        if self._targets.in_force != self._discounts:
            self._set_targets(self._targets.take(self._discounts, self._estimate_targets))
        self._update()
        self.update_step += 1
        if self.update_phase_finished:
            self._log_update_phase()

    def default_values(self) -> dict[str, float]:
        """The task's own value of every hyperparameter offered, at this moment of the run."""
        progress = self._current_progress_remaining
        return {
            name: default(progress) if callable(default) else default
            for name, default in self._defaults.items()
        }

    def values_in_force(self) -> dict[str, float]:
        """The value that the live objects hold of every hyperparameter offered."""
        return {name: definition(name).number(self._in_force(name)) for name in self.offered}

    def update_statistics(self) -> dict[str, float | None]:
        """Means over the updates of this phase, by SB3's names; explained variance of the rollout.

        A mean over no finite update, and the variance explained of constant returns, is None.
        """
        means = {name: math.fsum(map(float, v)) / len(v) for name, v in self._statistics.items()}
        buffer = self.rollout_buffer
        means["explained_variance"] = float(
            explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        )
        return {name: value if math.isfinite(value) else None for name, value in means.items()}

    # ------------------------------------------------------------------ shared by the algorithms

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """SB3's, with a buffer of the right size whatever `n_steps` was chosen."""
        if self._last_obs is None:
            # SB3's `set_env` leaves it to `learn` to reset the new environments.
            self.restart_inner_episodes()
        rollout_buffer.buffer_size = n_rollout_steps
        return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)

    def _collect(self) -> RecordedPhase:
        """Fills the rollout buffer; SB3's own way."""
        assert self.env is not None
        self.collect_rollouts(self.env, self._recorder, self.rollout_buffer, n_rollout_steps=self.n_steps)
        recorder = self._recorder
        return RecordedPhase(
            np.stack(recorder.rewards),
            np.stack(recorder.dones),
            recorder.episode_returns,
            recorder.episode_lengths,
            recorder.finite,
            CollectedRollout(
                rewards=np.stack(recorder.learned_rewards),
                dones=np.stack(recorder.dones),
                values=self.rollout_buffer.values,
                time_limit_values=np.stack(recorder.time_limit_values),
                last_values=recorder.locals["values"].cpu().numpy().flatten(),
            ),
        )

    @property
    def _discounts(self) -> Discounts:
        """The gamma and lambda in force."""
        return Discounts(self.gamma, self.gae_lambda)

    def _estimate_targets(self, rollout: CollectedRollout, discounts: Discounts) -> Targets:
        return sb3_targets(self.rollout_buffer, rollout, discounts)

    def _set_targets(self, targets: Targets) -> None:
        """Puts advantages and returns into the rollout buffer, laid out as it is by now."""
        buffer = self.rollout_buffer
        buffer.advantages, buffer.returns = (
            buffer.swap_and_flatten(part) if buffer.generator_ready else part for part in targets
        )

    def _apply(self, name: str, value: float) -> None:
        if name == "learning_rate":
            update_learning_rate(self.policy.optimizer, value)
            return
        setattr(self, name, value)
        if name in ("gamma", "gae_lambda"):
            setattr(self.rollout_buffer, name, value)

    def _in_force(self, name: str) -> float:
        if name == "learning_rate":
            return cast(float, self.policy.optimizer.param_groups[0]["lr"])
        return cast(float, getattr(self, name))

    def _optimise(self, loss: Tensor, **statistics: Tensor) -> None:
        """Clipped gradient step on the objective.

        Refused where loss or gradient is not finite, or the step would ruin the policy.

        Args:
            loss: The objective, a scalar.
            **statistics: What `update_statistics` averages over the updates that were applied.
        """
        self.policy.optimizer.zero_grad()
        loss.backward()
        parameters = list(self.policy.parameters())
        gradient = torch.cat(
            [torch.zeros_like(p).view(-1) if p.grad is None else p.grad.view(-1) for p in parameters]
        )
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
        if not (torch.isfinite(loss + norm) and self._step()):
            self.updates_refused += 1
            return
        self.gradient_history.push(gradient)
        self._note(loss=loss.detach(), grad_norm=norm, **{name: v.detach() for name, v in statistics.items()})

    def _step(self) -> bool:
        """The optimiser's step; False where it would ruin the policy, which then stays as it was."""
        if self._step_is_safe():
            self.policy.optimizer.step()
            return True
        before = LastGoodState(self.policy)
        # Torch's word for a step size that float32 cannot hold.
        with suppress(RuntimeError):
            self.policy.optimizer.step()
            if headroom(self.policy) >= 0:
                return True
        before.restore()
        return False

    def _step_is_safe(self) -> bool:
        """Whether the next step is too short to leave the policy unusable, by what is known of it.

        Spares nearly every step the copy and the look at all parameters that certainty takes.
        """
        return has_bounded_steps(self.policy.optimizer) and self._has_headroom()

    def _has_headroom(self) -> bool:
        """Whether the next step, of an optimiser with bounded steps, certainly leaves the policy usable."""
        step = LONGEST_STEP * self.policy.optimizer.param_groups[0]["lr"]
        self._headroom -= step
        if not self._headroom >= 0:
            self._headroom = headroom(self.policy) - step
        return self._headroom >= 0

    def _note(self, **statistics: Tensor | float) -> None:
        """Takes an applied update's statistics into the means of its phase."""
        for name, value in statistics.items():
            self._statistics.setdefault(name, []).append(value)

    def _log_update_phase(self) -> None:
        for name, value in (self.update_statistics() | self.values_in_force()).items():
            if value is not None:
                self.logger.record(f"train/{name}", value)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", self.policy.log_std.exp().mean().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _excluded_save_params(self) -> list[str]:
        # What belongs to the run and not to the SB3 algorithm stays out of its zip file.
        return [*super()._excluded_save_params(), *self._run_attributes]
