"""How a learner's runs begin and its rollouts are collected: as Stable-Baselines3's `learn` does."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from hyperrl_env.learners.recording import PhaseRecorder, RecordedPhase

if TYPE_CHECKING:
    from hyperrl_env.learners.base import InnerLearner


class Collector:
    """Collects for a learner that is its own model, without callbacks of others.

    Args:
        learner: The learner.

    Attributes:
        learner: The learner.
        model: The Stable-Baselines3 model that is trained.
    """

    model: OnPolicyAlgorithm

    def __init__(self, learner: InnerLearner) -> None:
        self.learner = learner
        self.model = learner
        self._recorder = PhaseRecorder()

    def start(self, total_env_steps: int) -> None:
        """Resets the inner environments and everything that SB3 counts."""
        self._recorder = PhaseRecorder()
        _, callback = self.learner._setup_learn(total_env_steps, self._recorder)
        callback.on_training_start(locals(), globals())

    def settings_of_rollouts(self) -> AbstractContextManager[None]:
        """The context of an environment phase: the settings in force stay so."""
        return nullcontext()

    def collect(self) -> RecordedPhase:
        """Fills the rollout buffer: the fast way if it fits, or SB3's own."""
        learner = self.learner
        fast = learner.linked()
        if fast is not None and fast.can_collect():
            return fast.collect()
        assert learner.env is not None
        learner.collect_rollouts(
            learner.env, self._recorder, learner.rollout_buffer, n_rollout_steps=learner.n_steps
        )
        return self._recorder.recorded(learner.rollout_buffer.values)

    def end(self) -> None:
        """See `InnerLearner.end_run`: whatever was chosen last stays in force."""
        return
