"""What is inside a learner, for methods that look there: its rollout, its policy, and its next update."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor, nn
from torch.autograd import forward_ad

from hyperrl_env.checks import unknown
from hyperrl_env.learners.a2c import A2CLearner
from hyperrl_env.learners.base import InnerLearner
from hyperrl_env.learners.divergence import kl_divergence
from hyperrl_env.learners.objective import actor_critic_objective
from hyperrl_env.learners.rollout_targets import Arrays, CollectedRollout, Discounts, sb3_targets

# How many numbers the policies that are evaluated together may take; per sample, about as many
# activations as hidden units of the usual networks, beside the observation.
_AT_ONCE, _ACTIVATIONS = 2**22, 256


@dataclass(frozen=True)
class Rollout(CollectedRollout):
    """The rollout at hand, T steps in N environments: what targets are computed from, and the samples.

    Attributes:
        observations: As the policy saw them (normalised), (T, N, ...); by name if they are dictionaries.
        actions: As the policy drew them, before clipping to the action space, (T, N, A), of a discrete
            space (T, N, 1).
        log_probs: log pi(a|s) of the policy that drew them, (T, N).
    """

    observations: Any
    actions: NDArray[np.floating]
    log_probs: NDArray[np.floating]


class Evaluation(NamedTuple):
    """C policies on the rollout at hand.

    Attributes:
        log_probs: log pi_c(a|s) of the rollout's actions, (C, T, N).
        kl: KL(pi || pi_c) from the present policy pi, at each observation, (C, T, N).
    """

    log_probs: Tensor
    kl: Tensor


class LearnerView:
    """A learner as it is at this moment, opened for white-box methods; the learner itself never changes.

    It works on a copy of the policy and its optimiser, made here. Weights, optimiser, gradients, buffer and
    random generators of the learner stay as they are, to the bit, with both backends. After an update or
    an environment phase, make another view. What concerns the policy works for every algorithm; the next
    update is foretold for A2C, whose update is one step on the whole rollout.

    Weights are flat: all parameters of the policy one after the other, in the order of
    `policy.parameters()`.

    Args:
        learner: An inner learner after its environment phase: `env.unwrapped.learner`.

    Attributes:
        rollout: The rollout at hand; a copy.
        weights: Those of the policy, (P,); a copy.
    """

    def __init__(self, learner: InnerLearner) -> None:
        self._learner = learner
        self._policy = _copied(learner.policy)
        self.weights = _flat(self._policy.parameters())
        buffer = learner.rollout_buffer
        n_steps, n_envs = buffer.buffer_size, buffer.n_envs

        def by_step(part: Any) -> Any:
            if isinstance(part, dict):
                return {name: by_step(array) for name, array in part.items()}
            if buffer.generator_ready:
                # Stable-Baselines3 has laid it out environment by environment.
                return part.reshape(n_envs, n_steps, *part.shape[1:]).swapaxes(0, 1).copy()
            return part.copy()

        self.rollout = Rollout(
            **vars(copy.deepcopy(learner.targets.rollout)),
            observations=by_step(buffer.observations),
            actions=by_step(buffer.actions),
            log_probs=by_step(buffer.log_probs).reshape(n_steps, n_envs),
        )
        self._observations = self._samples(self.rollout.observations)
        # As Stable-Baselines3 hands them to its policies.
        self._actions = self._samples(self.rollout.actions).float()
        if isinstance(learner.action_space, spaces.Discrete):
            self._actions = self._actions.long().flatten()

    # ------------------------------------------------------------------ the policy

    @torch.no_grad()
    def evaluate(self, weights: Tensor) -> Evaluation:
        """The policy with other weights, on the rollout at hand.

        Args:
            weights: Those of C policies, (C, P).

        Returns:
            Log-probabilities of the rollout's actions, and KL divergences from the present policy.
        """
        self._policy.set_training_mode(False)
        actor = _Actor(self._policy)
        present = self._policy.get_distribution(cast(Tensor, self._observations)).distribution

        def of_one(weights: Tensor) -> tuple[Tensor, Tensor]:
            parameters = {f"policy.{name}": part for name, part in self._named(weights).items()}
            inputs = (self._observations, self._actions, present)
            return cast(tuple[Tensor, Tensor], torch.func.functional_call(actor, parameters, inputs))

        per_policy = len(self._actions) * _ACTIVATIONS + sum(t.numel() for t in _tensors(self._observations))
        together = torch.func.vmap(of_one, chunk_size=max(1, _AT_ONCE // per_policy))
        shape = (len(weights), *self.rollout.rewards.shape)
        return Evaluation(*(part.reshape(shape) for part in together(weights)))

    def policy_gradient(self) -> Tensor:
        """The gradient of the policy objective, to ascend: of mean A log pi(a|s), at the present weights.

        A are the advantages with the task's own gamma and lambda, standardised if the learner does so.

        Returns:
            (P,); zero where the objective does not depend on a weight.
        """
        self._policy.set_training_mode(False)
        own = self._learner.default_values()
        samples = self._batch(Discounts(own["gamma"], own["gae_lambda"]))
        objective = actor_critic_objective(
            samples,
            self._policy.evaluate_actions(samples.observations, samples.actions),
            normalize_advantage=bool(getattr(self._learner, "normalize_advantage", False)),
            ent_coef=0.0,
            vf_coef=0.0,
        )
        return -_flat(_gradients(objective.policy_loss, self._policy))

    # ------------------------------------------------------------------ the next update

    def weights_after(self, values: Mapping[str, float]) -> Tensor:
        """What the weights would be after the next update, (P,), unless that is refused.

        Args:
            values: Hyperparameters by name; those not named take the task's default.

        Raises:
            ValueError: See `step_direction`.
        """
        direction = self.step_direction(values)
        learning_rate = (self._learner.default_values() | dict(values))["learning_rate"]
        return self.weights + learning_rate * direction

    def step_direction(self, values: Mapping[str, float]) -> Tensor:
        """The step that the next update would do at a learning rate of 1, (P,).

        That of Adam, RMSprop and SGD is this, times the learning rate.

        Args:
            values: Hyperparameters by name; those not named take the task's default.

        Raises:
            ValueError: The algorithm is not A2C, or does not offer a hyperparameter.
        """
        return self._step(values, None)[0]

    def step_derivative(self, values: Mapping[str, float], targets: Arrays) -> Tensor:
        """How that step changes with a hyperparameter that the targets depend on, (P,).

        Exact: through the gradient, its clipping and the optimiser.

        Args:
            values: As for `step_direction`.
            targets: The derivative of the advantages, which is that of the lambda-returns too, (T, N).

        Raises:
            ValueError: See `step_direction`.
        """
        return self._step(values, targets)[1]

    def _step(self, values: Mapping[str, float], target_derivatives: Arrays | None) -> tuple[Tensor, Tensor]:
        """The step at a learning rate of 1, and its derivative along that of the targets."""
        learner = _single_step(self._learner)
        for name in values:
            if name not in learner.offered:
                raise ValueError(unknown("hyperparameter", name, learner.offered))
        chosen = learner.default_values() | dict(values)
        policy = _copied(self._policy)
        policy.set_training_mode(True)
        for group in policy.optimizer.param_groups:
            group["lr"] = 1.0
        # A features extractor may draw: from a fork of the global generator.
        with forward_ad.dual_level(), torch.random.fork_rng(devices=[]):
            samples = self._batch(Discounts(chosen["gamma"], chosen["gae_lambda"]), target_derivatives)
            state_values, log_probs, entropy = policy.evaluate_actions(samples.observations, samples.actions)
            if target_derivatives is not None:
                # Torch cannot subtract from the zero that would stand for the derivative otherwise.
                state_values = _dual(state_values, torch.zeros_like(state_values))
            objective = actor_critic_objective(
                samples,
                (state_values, log_probs, entropy),
                normalize_advantage=learner.normalize_advantage,
                ent_coef=chosen["ent_coef"],
                vf_coef=chosen["vf_coef"],
            )
            for parameter, gradient in zip(
                policy.parameters(), _gradients(objective.loss, policy), strict=True
            ):
                parameter.grad = gradient if parameter.requires_grad else None
            # Forward derivatives of Torch's lists of tensors are not all of the right shape.
            nn.utils.clip_grad_norm_(policy.parameters(), chosen["max_grad_norm"], foreach=False)
            policy.optimizer.step()
            parts = [forward_ad.unpack_dual(parameter) for parameter in policy.parameters()]
            after = _flat(part.primal for part in parts)
            derivative = _flat(
                torch.zeros_like(part.primal) if part.tangent is None else part.tangent for part in parts
            )
        return after - self.weights, derivative

    # ------------------------------------------------------------------ samples

    def _samples(self, part: Any) -> Any:
        """A part of the rollout as samples, (T * N, ...), on the policy's device."""
        if isinstance(part, dict):
            return {name: self._samples(array) for name, array in part.items()}
        return torch.as_tensor(part.reshape(-1, *part.shape[2:]), device=self._policy.device)

    def _batch(self, discounts: Discounts, target_derivatives: Arrays | None = None) -> RolloutBufferSamples:
        """The whole rollout as SB3's samples, inside a dual level with the derivatives of the targets."""
        rollout = self.rollout
        targets = sb3_targets(self._learner.rollout_buffer, rollout, discounts)
        advantages, returns = (self._samples(part) for part in targets)
        if target_derivatives is not None:
            tangent = self._samples(target_derivatives).to(advantages.dtype)
            advantages = _dual(advantages, tangent)
            returns = _dual(returns, tangent.clone())
        return RolloutBufferSamples(
            cast(Tensor, self._observations),
            self._actions,
            self._samples(rollout.values),
            self._samples(rollout.log_probs),
            advantages,
            returns,
        )

    def _named(self, weights: Tensor) -> dict[str, Tensor]:
        """Flat weights (P,) by the policy's names."""
        named = dict(self._policy.named_parameters())
        parts = weights.split([p.numel() for p in named.values()])
        return {n: part.view(p.shape) for (n, p), part in zip(named.items(), parts, strict=True)}


class _Actor(nn.Module):
    """A policy's log-probabilities, and its divergence from another, as a module's forward."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observations: Tensor, actions: Tensor, present: Any) -> tuple[Tensor, Tensor]:
        distribution = self.policy.get_distribution(observations)
        return distribution.log_prob(actions), kl_divergence(present, distribution.distribution)


def _dual(value: Tensor, derivative: Tensor) -> Tensor:
    """A dual number of forward differentiation, at the present dual level."""
    with warnings.catch_warnings():
        # At its first dual number Torch imports a module that warns of Torch's own deprecations.
        warnings.simplefilter("ignore", DeprecationWarning)
        return cast(Tensor, forward_ad.make_dual(value, derivative))


def _copied(policy: ActorCriticPolicy) -> ActorCriticPolicy:
    """A policy of its own, whose optimiser is that of its own parameters."""
    # What is left of an evaluation belongs to its graph, which cannot be copied.
    return copy.deepcopy(policy, {id(policy.action_dist): copy.copy(policy.action_dist)})


def _single_step(learner: InnerLearner) -> A2CLearner:
    """The learner, if its next update is one step on the whole rollout, in proportion to the rate."""
    if isinstance(learner, A2CLearner):
        return learner
    raise ValueError(
        f"The step of the next update is foretold for A2C, not for a {type(learner).__name__}: PPO draws its "
        "minibatches as it goes, and ACKTR's trust region sets the length of its step."
    )


def _gradients(loss: Tensor, policy: ActorCriticPolicy) -> list[Tensor]:
    """The gradient of a loss with respect to every parameter; zeros where it does not depend on one."""
    trained = [p for p in policy.parameters() if p.requires_grad]
    found = iter(torch.autograd.grad(loss, trained, allow_unused=True))
    gradients = [next(found) if p.requires_grad else None for p in policy.parameters()]
    return [
        torch.zeros_like(p) if g is None else g for p, g in zip(policy.parameters(), gradients, strict=True)
    ]


def _flat(parts: Any) -> Tensor:
    return torch.cat([part.detach().reshape(-1) for part in parts])


def _tensors(observations: Any) -> list[Tensor]:
    return list(observations.values()) if isinstance(observations, dict) else [observations]
