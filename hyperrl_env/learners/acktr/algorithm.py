"""ACKTR (Wu et al. 2017): actor-critic with a natural gradient, Kronecker-factored, in a trust region."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    BasePolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import explained_variance
from torch import Tensor

from hyperrl_env.learners.acktr.optimizer import KFAC, Report
from hyperrl_env.learners.objective import Objective, actor_critic_objective
from hyperrl_env.learners.single_update import SingleUpdateLearner

# A Gaussian's Fisher information about the logarithm of its standard deviation:
# d log p / d log_std = z^2 - 1 with z standard normal, and E[(z^2 - 1)^2] = 2. It is not correlated with
# that about the mean, E[(z^2 - 1) z] = 0.
FISHER_OF_LOG_STD = 2.0


def fisher_loss(log_prob: Tensor, values: Tensor) -> Tensor:
    """The loss whose gradients are samples for the Fisher matrix of policy and value function.

    -mean log pi(a|s) - mean (V - sample)^2 with the actions that the policy drew, and sample = V + N(0, 1),
    held constant (Wu et al. 2017, Section 3.1; the sign of the second does not matter for g g^T). Policy
    and value are independent, so that layers used by both get the joint Fisher.

    Args:
        log_prob: Of the rollout's actions, (B,).
        values: V(s), (B,).
    """
    samples = values.detach() + torch.randn_like(values)
    return -log_prob.mean() - (values - samples).square().mean()


class ACKTR(OnPolicyAlgorithm):
    """Actor Critic using Kronecker-Factored Trust Region (ACKTR), in Stable-Baselines3's manner.

    Paper: https://arxiv.org/abs/1708.05144. Stable-Baselines3 has no ACKTR; this one is used as its
    A2C is (`learn`, `predict`, `save`, `load`, callbacks, schedules), and one update on the whole
    rollout is an A2C update whose optimiser is `KFAC`. A diagonal Gaussian's `log_std` is no layer's
    weight; it has its exact Fisher information, 2. The matrix that state-dependent exploration has
    in its place takes the plain gradient.

    Args:
        policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy", or a policy class.
        env: The environment, or its Gymnasium id.
        learning_rate: eta, the step size of the natural gradient; or a schedule of it.
        n_steps: Steps of each environment in a rollout.
        gamma: Discount factor.
        gae_lambda: Lambda of generalised advantage estimation; 1 is the classic advantage.
        ent_coef: Weight of the entropy bonus.
        vf_coef: Weight of the value loss.
        kl_clip: Trust region of an update: its KL divergence is about kl_clip / 2 at most.
        damping: Added to the eigenvalues of the Fisher matrix.
        momentum: Of the optimiser, in [0, 1).
        weight_decay: Times the weights, added to their gradient.
        stats_interval: Updates from one batch of Fisher statistics to the next (Ts).
        inversion_interval: Updates from one inversion of the Fisher matrix to the next (Tf).
        stats_decay: Decay of the statistics' moving averages.
        normalize_advantage: Whether advantages are standardised over the rollout.
        use_sde: Whether to explore with noise that depends on the state.
        sde_sample_freq: Steps between draws of that noise; -1: once a rollout.
        rollout_buffer_class: As in SB3.
        rollout_buffer_kwargs: As in SB3.
        stats_window_size: Episodes that logged averages are over.
        tensorboard_log: Folder of TensorBoard logs; None for none.
        policy_kwargs: Arguments of the policy; the optimiser is none of them.
        verbose: 0, 1 or 2.
        seed: Seeds everything random.
        device: Torch device.
        _init_setup_model: Whether to build the networks now.

    Raises:
        ValueError: `policy_kwargs` names another optimiser.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
        "MultiInputPolicy": MultiInputActorCriticPolicy,
    }
    policy: ActorCriticPolicy
    rollout_buffer: RolloutBuffer

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 0.25,
        n_steps: int = 20,
        gamma: float = 0.99,
        gae_lambda: float = 1.0,
        ent_coef: float = 0.01,
        vf_coef: float = 0.5,
        kl_clip: float = 0.001,
        damping: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        stats_interval: int = 1,
        inversion_interval: int = 10,
        stats_decay: float = 0.99,
        normalize_advantage: bool = False,
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        rollout_buffer_class: type[RolloutBuffer] | None = None,
        rollout_buffer_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        if chosen := {"optimizer_class", "optimizer_kwargs"} & set(policy_kwargs or {}):
            raise ValueError(f"ACKTR's optimiser is K-FAC: leave {sorted(chosen)} out of policy_kwargs.")
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            gamma=gamma,
            gae_lambda=gae_lambda,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
            # The trust region is what limits a step.
            max_grad_norm=math.inf,
            use_sde=use_sde,
            sde_sample_freq=sde_sample_freq,
            rollout_buffer_class=rollout_buffer_class,
            rollout_buffer_kwargs=rollout_buffer_kwargs,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
            supported_action_spaces=(
                spaces.Box,
                spaces.Discrete,
                spaces.MultiDiscrete,
                spaces.MultiBinary,
            ),
        )
        self.kl_clip = kl_clip
        self.damping = damping
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.stats_interval = stats_interval
        self.inversion_interval = inversion_interval
        self.stats_decay = stats_decay
        self.normalize_advantage = normalize_advantage
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        gaussian = type(self.policy.action_dist) is DiagGaussianDistribution
        self.policy.optimizer = KFAC(
            self.policy,
            lr=self.lr_schedule(1),
            diagonals={self.policy.log_std: FISHER_OF_LOG_STD} if gaussian else {},
        )
        self.set_up_optimizer()

    @property
    def optimizer(self) -> KFAC:
        """The policy's optimiser."""
        return cast(KFAC, self.policy.optimizer)

    def set_up_optimizer(self) -> None:
        """Hands the optimiser this algorithm's settings; the learning rate has a schedule of its own."""
        self.optimizer.param_groups[0].update(
            kl_clip=self.kl_clip,
            damping=self.damping,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            stats_interval=self.stats_interval,
            inversion_interval=self.inversion_interval,
            stats_decay=self.stats_decay,
        )

    def train(self) -> None:
        """One update on the whole rollout."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.optimizer)
        objective = self._evaluate_rollout()
        self.optimizer.zero_grad()
        objective.loss.backward()
        self.optimizer.step()

        self._n_updates += 1
        buffer = self.rollout_buffer
        variance = explained_variance(buffer.values.flatten(), buffer.returns.flatten())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/explained_variance", variance)
        for name, value in objective._asdict().items():
            self.logger.record(f"train/{name}", value.item())
        for name, value in self.optimizer.report._asdict().items():
            self.logger.record(f"train/{name}", value)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", torch.exp(self.policy.log_std).mean().item())

    def _evaluate_rollout(self) -> Objective:
        """The objective on the rollout; where Fisher statistics are due, they are taken on the way."""
        self.set_up_optimizer()
        samples = next(self.rollout_buffer.get(batch_size=None))
        actions = samples.actions
        if isinstance(self.action_space, spaces.Discrete):
            actions = actions.long().flatten()
        due = self.optimizer.statistics_due
        with self.optimizer.watching(due):
            evaluated = self.policy.evaluate_actions(samples.observations, actions)
        values, log_prob, _ = evaluated
        if due:
            self.optimizer.take_statistics(fisher_loss(log_prob, values.flatten()))
        return actor_critic_objective(
            samples,
            evaluated,
            normalize_advantage=self.normalize_advantage,
            ent_coef=self.ent_coef,
            vf_coef=self.vf_coef,
        )

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 100,
        tb_log_name: str = "ACKTR",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """As Stable-Baselines3's `learn`.

        Args:
            total_timesteps: Environment steps to train for.
            callback: Called at every step.
            log_interval: Rollouts between logs.
            tb_log_name: Name of the TensorBoard run.
            reset_num_timesteps: Whether the count of steps starts anew.
            progress_bar: Whether to show one.

        Returns:
            The trained algorithm.
        """
        return super().learn(
            total_timesteps=total_timesteps,
            callback=callback,
            log_interval=log_interval,
            tb_log_name=tb_log_name,
            reset_num_timesteps=reset_num_timesteps,
            progress_bar=progress_bar,
        )


class ACKTRLearner(SingleUpdateLearner, ACKTR):
    """ACKTR in single updates.

    A refused update leaves weights, factors and momentum as they were. Only where the natural
    gradient overflows, so that the trust region finds no step, the statistics of the rollout, which
    are finite, stay in the factors.
    """

    offered: ClassVar[tuple[str, ...]] = (
        "learning_rate",
        "kl_clip",
        "damping",
        "momentum",
        "weight_decay",
        "stats_interval",
        "inversion_interval",
        "gae_lambda",
        "gamma",
        "n_steps",
        "ent_coef",
        "vf_coef",
    )
    reported: ClassVar[tuple[str, ...]] = (*SingleUpdateLearner.reported, *Report._fields)

    def _update_on_rollout(self) -> None:
        self._optimise(**self._evaluate_rollout()._asdict())

    def _has_moved(self) -> bool:
        return self.optimizer.report.trust_region_scale != 0

    def _note(self, **statistics: Tensor | float) -> None:
        super()._note(**statistics, **self.optimizer.report._asdict())
