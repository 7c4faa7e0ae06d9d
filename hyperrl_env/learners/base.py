"""The contract of an inner learner: an SB3 on-policy algorithm that is driven one update at a time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from typing import Any, ClassVar, cast

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import explained_variance, update_learning_rate
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from hyperrl_env.hyper_reward import EnvironmentPhase
from hyperrl_env.hyperparameters import definition
from hyperrl_env.learners.arithmetic import Arithmetic
from hyperrl_env.learners.collecting import Collector
from hyperrl_env.learners.gradient_history import GradientHistory
from hyperrl_env.learners.recording import variances_are_finite
from hyperrl_env.learners.resumable import learner_state, set_learner_state
from hyperrl_env.learners.rollout_targets import (
    CollectedRollout,
    Discounts,
    RolloutTargets,
    Targets,
    sb3_targets,
)
from hyperrl_env.learners.step_guard import LONGEST_STEP, LastGoodState, has_bounded_steps, headroom
from hyperrl_env.learners.update_phase import UpdatePhase


@cache
def _kinds(names: tuple[str, ...]) -> tuple[tuple[str, type[int] | type[float]], ...]:
    """Hyperparameters and what their values are; looked up once, for every update asks for it."""
    return tuple((name, definition(name).kind) for name in names)


class InnerLearner(OnPolicyAlgorithm):
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

    That is Stable-Baselines3's arithmetic. A learner may own another one, `fast`, which is asked before
    every rollout and update whether it fits the parts that the learner then has, and takes their place.

    Attributes:
        offered: Names of the hyperparameters that this algorithm offers.
        reported: Names of what `update_statistics` reports of a phase in which an update was applied.
        phase_class: What it remembers of an update phase.
        fast: The other arithmetic, if there is one.
        gradient_history: The last gradients of the objective, before clipping.
        targets: Advantages and returns of the rollout at hand.
        update_phase: The updates on it so far.
    """

    # What belongs to the run and not to the SB3 algorithm. SB3 saves the attributes of an algorithm, and a
    # learner on a model of the user's shares them with it: these are kept apart.
    __slots__ = (
        *("_collector", "_defaults", "_last_episode_return", "_model_discounts", "_own_values"),
        *("_reward_gamma", "fast", "gradient_history", "targets", "update_phase"),
    )

    offered: ClassVar[tuple[str, ...]]
    reported: ClassVar[tuple[str, ...]]
    phase_class: ClassVar[type[UpdatePhase]] = UpdatePhase
    fast: Arithmetic | None
    update_phase: UpdatePhase
    targets: RolloutTargets
    # The progress at which the task's own values were last looked up, and these.
    _own_values: tuple[float, dict[str, float]]

    # ------------------------------------------------------------------ the contract

    @abstractmethod
    def _update(self, fast: Arithmetic | None) -> None:
        """Does exactly one policy update with the hyperparameters in force, by `fast` if there is one."""

    def _prepare_rollout(self) -> None:
        """Lays the rollout that was just collected out for the updates on it."""
        return

    @property
    def update_position(self) -> float:
        """Fraction of the update phase that is done, in [0, 1]."""
        return float(self.update_phase.finished)

    @property
    def epoch(self) -> int:
        """Passes over the rollout that are done in this update phase."""
        return int(self.update_phase.finished)

    def _next_update_draws(self) -> bool:
        """Whether the next update draws from the global generators by itself."""
        return False

    def _has_moved(self) -> bool:
        """Whether the optimiser's last step was one."""
        return True

    # ------------------------------------------------------------------ driving it

    @property
    def model(self) -> OnPolicyAlgorithm:
        """The Stable-Baselines3 algorithm object: the learner itself, or the user's model that it trains."""
        return self._collector.model

    @property
    def is_fast(self) -> bool:
        """Whether updates take the fast way, instead of SB3's own arithmetic."""
        return self.linked() is not None

    @property
    def update_step(self) -> int:
        """Policy updates done in this update phase, refused ones included."""
        return self.update_phase.update_step

    @property
    def updates_refused(self) -> int:
        """How many of them were refused: loss or gradient was not finite, or the policy could not act."""
        return self.update_phase.updates_refused

    @property
    def update_phase_finished(self) -> bool:
        """Whether every update on the rollout at hand is done."""
        return self.update_phase.finished

    def _setup_model(self) -> None:
        super()._setup_model()
        self.set_up(Collector(self))

    def set_up(self, collector: Collector) -> None:
        """Gives the learner what it has beside SB3's attributes, which are there by now.

        Args:
            collector: Begins its runs and collects its rollouts.
        """
        self.fast = None
        self._collector = collector
        self.adopt_settings()

    def start_run(self, total_env_steps: int, gradient_order: int) -> None:
        """Resets the inner environments and everything that counts.

        Args:
            total_env_steps: The budget, which learning-rate decay refers to.
            gradient_order: N_order, how many gradients the history keeps.
        """
        self.end_run()
        self._reward_gamma = self.gamma
        self._last_episode_return = 0.0
        self.gradient_history = GradientHistory(self.policy.parameters(), gradient_order)
        self.update_phase = self.phase_class()
        self._collector.start(total_env_steps)

    def environment_phase(self) -> EnvironmentPhase:
        """Collects `n_steps * n_envs` transitions with the frozen policy; the update phase follows."""
        with self._collector.settings_of_rollouts():
            recorded = self._collector.collect()
            buffer = self.rollout_buffer
            if not (recorded.finite and variances_are_finite(self.get_vec_normalize_env())):
                # Nobody knows what came of the actions: every update on this rollout is to be refused.
                buffer.advantages[:] = np.nan
                recorded.rollout.rewards[:] = np.nan
            self.targets = RolloutTargets(
                recorded.rollout, self._discounts, Targets(buffer.advantages, buffer.returns)
            )
        self.model._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
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
        self.policy.set_training_mode(True)
        self.begin_update_phase()
        return phase

    def begin_update_phase(self) -> None:
        """Makes the rollout in the buffer that of the updates to come."""
        self.update_phase = self.phase_class()
        self._prepare_rollout()
        if (fast := self.linked()) is not None:
            fast.lay_out()

    def policy_update(
        self,
        values: Mapping[str, float],
        drawing: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Does exactly one policy update.

        Args:
            values: Hyperparameters by name; those not named take the task's default.
            drawing: Makes the context of an update that draws from the global random generators.
        """
        fast = self.linked()
        draws = fast is None or fast.draws or self._next_update_draws()
        with drawing() if draws else nullcontext():
            self.apply(self.default_values() | dict(values))
            if self.targets.in_force != self._discounts:
                estimate = self._estimate_targets if fast is None else fast.targets
                self._set_targets(self.targets.take(self._discounts, estimate))
                if fast is not None:
                    fast.lay_out_targets()
            self._update(fast)
        self.update_phase.update_step += 1
        if self.update_phase.finished:
            self._log_update_phase()

    def apply(self, values: Mapping[str, float]) -> None:
        """Puts hyperparameters in force."""
        for name, value in values.items():
            self._apply(name, value)

    def default_values(self, progress: float | None = None) -> dict[str, float]:
        """The task's own value of every hyperparameter offered.

        Args:
            progress: What is left of the run, from 1 to 0; None: at this moment.
        """
        progress = self._current_progress_remaining if progress is None else progress
        # They change once per phase; every update asks for them several times.
        if self._own_values[0] != progress:
            defaults = ((name, self._defaults[name]) for name in self.offered)
            self._own_values = (
                progress,
                {name: default(progress) if callable(default) else default for name, default in defaults},
            )
        return dict(self._own_values[1])

    def adopt_settings(self) -> None:
        """Makes the model's present settings those that `default_values` is about."""
        self._defaults = self.settings()
        self._model_discounts = self.gamma, self.gae_lambda
        self._own_values = math.nan, {}

    def put_back_settings(self) -> None:
        """Puts the model's own settings in force, as if nobody had chosen others."""
        for name, setting in self._defaults.items():
            if name == "learning_rate":
                update_learning_rate(self.policy.optimizer, setting(self._current_progress_remaining))
            else:
                setattr(self, name, setting)
        buffer = self.rollout_buffer
        buffer.gamma, buffer.gae_lambda = self._defaults["gamma"], self._defaults["gae_lambda"]
        self.gamma, self.gae_lambda = self._model_discounts

    def end_run(self) -> None:
        """Leaves the model as it is to be used and trained outside the run; may be called at any time."""
        self._collector.end()

    def values_in_force(self) -> dict[str, float]:
        """The value that the live objects hold of every hyperparameter offered."""
        return {name: kind(self._in_force(name)) for name, kind in _kinds(self.offered)}

    def update_statistics(self) -> dict[str, float | None]:
        """Means over the updates of this phase, by SB3's names; explained variance of the rollout.

        A mean over no finite update, and the variance explained of constant returns, is None.
        """
        means = {name: math.fsum(v) / len(v) for name, v in self.update_phase.statistics.items()}
        buffer = self.rollout_buffer
        means["explained_variance"] = float(
            explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        )
        return {name: value if math.isfinite(value) else None for name, value in means.items()}

    def state_dict(self) -> dict[str, Any]:
        """See `learner_state`."""
        return learner_state(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `set_learner_state`."""
        set_learner_state(self, state)
        if (fast := self.linked()) is not None:
            fast.lay_out()

    def restart_inner_episodes(self) -> None:
        """Starts a new episode in every inner environment, seeded from the global generator."""
        assert self.env is not None
        self.env.seed(int(np.random.randint(2**31)))
        self._last_obs = self.env.reset()  # type: ignore[assignment]
        self._last_episode_starts = np.ones(self.n_envs, dtype=bool)

    # ------------------------------------------------------------------ shared by the algorithms

    def linked(self) -> Arithmetic | None:
        """The fast arithmetic, if it fits the parts that the learner has now."""
        return self.fast if self.fast is not None and self.fast.link() else None

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """SB3's, with a buffer of the right size whatever `n_steps` was chosen."""
        if self._last_obs is None:
            # SB3's `set_env` leaves it to `learn` to reset the new environments.
            self.restart_inner_episodes()
        rollout_buffer.buffer_size = n_rollout_steps
        return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)

    def settings(self) -> dict[str, Any]:
        """What the hyperparameters offered are set to, by the attribute: numbers, and SB3's schedules.

        Gamma and lambda are the rollout buffer's. SB3 estimates advantages with these, whatever is assigned
        to the model after its construction.
        """
        attributes = {name: getattr(self, name) for name in self.offered}
        return attributes | {"learning_rate": self.lr_schedule} | self._discounts._asdict()

    @property
    def _discounts(self) -> Discounts:
        """The gamma and lambda in force."""
        return Discounts(self.rollout_buffer.gamma, self.rollout_buffer.gae_lambda)

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
        if name in Discounts._fields:
            setattr(self.rollout_buffer, name, value)

    def _in_force(self, name: str) -> float:
        if name == "learning_rate":
            return cast(float, self.policy.optimizer.param_groups[0]["lr"])
        return cast(float, getattr(self.rollout_buffer if name in Discounts._fields else self, name))

    def _optimise(self, loss: Tensor, **statistics: Tensor) -> None:
        """Clipped gradient step on the objective (see `refuse_or_step`).

        Args:
            loss: The objective, a scalar.
            **statistics: What `update_statistics` averages over the updates that were applied.
        """
        optimizer = self.policy.optimizer
        optimizer.zero_grad()
        loss.backward()
        parameters = list(self.policy.parameters())
        gradient = torch.cat(
            [torch.zeros_like(p).view(-1) if p.grad is None else p.grad.view(-1) for p in parameters]
        )
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
        self.refuse_or_step(
            loss.detach(),
            norm,
            gradient,
            optimizer.step,
            bounded=has_bounded_steps(optimizer),
            **{name: value.detach() for name, value in statistics.items()},
        )

    def refuse_or_step(
        self,
        loss: Tensor | float,
        norm: Tensor | float,
        gradient: Tensor,
        step: Callable[[], object],
        *,
        bounded: bool,
        **statistics: Tensor | float,
    ) -> None:
        """Does the optimiser's step, or refuses the update and leaves the learner as it was.

        Refused where loss or gradient is not finite, or the step would ruin the policy.

        Args:
            loss: The objective, a scalar.
            norm: Of the gradient before clipping.
            gradient: Of all parameters, before clipping, flattened one after the other, (P,).
            step: Does the step; may change `gradient`.
            bounded: Whether the optimiser is one for which `LONGEST_STEP` holds.
            **statistics: What `update_statistics` averages over the updates that were applied.
        """
        if math.isfinite(loss + norm) and self._step(gradient, step, bounded):
            self._note(loss=loss, grad_norm=norm, **statistics)
        else:
            self.update_phase.updates_refused += 1

    def _step(self, gradient: Tensor, step: Callable[[], object], bounded: bool) -> bool:
        """The optimiser's step; False where it would ruin the policy, which then stays as it was."""
        # Spares nearly every step the copies and the look at all parameters that certainty takes.
        if bounded and self._has_headroom():
            self.gradient_history.push(gradient)
            step()
            return True
        before, unclipped = LastGoodState(self.policy), gradient.clone()
        # Torch's word for a step size that float32 cannot hold.
        with suppress(RuntimeError):
            step()
            if headroom(self.policy) >= 0:
                if self._has_moved():
                    self.gradient_history.push(unclipped)
                return self._has_moved()
        before.restore()
        return False

    def _has_headroom(self) -> bool:
        """Whether the next step, of an optimiser with bounded steps, certainly leaves the policy usable."""
        phase, step = self.update_phase, LONGEST_STEP * self.policy.optimizer.param_groups[0]["lr"]
        phase.headroom -= step
        if not phase.headroom >= 0:
            phase.headroom = headroom(self.policy) - step
        return phase.headroom >= 0

    def _note(self, **statistics: Tensor | float) -> None:
        """Adds an applied update's statistics to the means of its phase."""
        self.update_phase.note({name: float(value) for name, value in statistics.items()})

    def _log_update_phase(self) -> None:
        for name, value in (self.update_statistics() | self.values_in_force()).items():
            if value is not None:
                self.logger.record(f"train/{name}", value)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", self.policy.log_std.exp().mean().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
