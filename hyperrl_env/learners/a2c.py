"""A2C as an inner learner: SB3's A2C, whose update phase is one update on the whole rollout."""

from __future__ import annotations

from typing import ClassVar

from gymnasium import spaces
from stable_baselines3 import A2C

from hyperrl_env.learners.objective import actor_critic_objective
from hyperrl_env.learners.single_update import SingleUpdateLearner


class A2CLearner(SingleUpdateLearner, A2C):
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
        objective = actor_critic_objective(
            samples,
            self.policy.evaluate_actions(samples.observations, actions),
            normalize_advantage=self.normalize_advantage,
            ent_coef=self.ent_coef,
            vf_coef=self.vf_coef,
        )
        self._optimise(**objective._asdict())
