"""HOOF: the learning rate of each update, by what its rollout says about candidate updates.

Paul, Kurin and Whiteson, "Fast Efficient Hyperparameter Tuning for Policy Gradient Methods", NeurIPS 2019:
candidates of the next policy are compared on the rollout at hand, by weighted importance sampling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from agents.base import HyperAgent, Observation
from agents.continuous import check_fits, limits, range_kwargs
from agents.values import action_of
from hyperrl_env import LearnerView
from hyperrl_env.checks import check_at_least, check_positive

Floats = NDArray[np.floating]
# The paper's, for A2C: how the bound of the candidates adapts.
_SHRINK, _GROW, _MANY_REJECTED = 0.8, 1.25, 0.8


def rollout_returns(rewards: Floats, dones: NDArray[np.bool_], last_values: Floats) -> Floats:
    """What each environment earned in a rollout: R_e, undiscounted.

    Rewards scaled to [0, 1] by the smallest and the largest of the rollout, summed, plus V of the last
    observation where no episode ended.

    Args:
        rewards: Those that the learner learns from, (T, N).
        dones: Whether an episode ended at that step, (T, N).
        last_values: V of the observation after the last step, (N,).

    Returns:
        (N,).
    """
    spread = rewards.max() - rewards.min()
    scaled = (rewards - rewards.min()) / spread if spread > 0 else np.zeros_like(rewards)
    earned: Floats = scaled.sum(axis=0) + last_values * ~dones[-1]
    return earned


def normalised_weights(log_ratios: Floats) -> Floats:
    """Weights of weighted importance sampling: w_e / sum w_e, w_e = prod_t pi'(a|s) / pi(a|s).

    Args:
        log_ratios: log pi'(a|s) - log pi(a|s), of C candidates, T steps and N environments, (C, T, N).

    Returns:
        (C, N); each row sums to 1.
    """
    log_weights = log_ratios.sum(axis=1)
    # The largest weight is 1, so that none overflows.
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    normalised: Floats = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def wis_estimates(weights: Floats, returns: Floats) -> Floats:
    """The estimated return of each candidate: J = sum w_e R_e / sum w_e.

    Args:
        weights: Normalised, (C, N).
        returns: R_e, (N,).

    Returns:
        (C,).
    """
    estimates: Floats = weights @ returns
    return estimates


def effective_sample_size(weights: Floats) -> Floats:
    """How many unweighted environments an estimate is worth: (sum w_e)^2 / sum w_e^2.

    Args:
        weights: (C, N).

    Returns:
        (C,), from 1 to N.
    """
    size: Floats = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
    return size


def accepted(kl: Floats, max_kl: float) -> NDArray[np.bool_]:
    """Which candidates are near enough to the present policy; the first, smallest one always is.

    Args:
        kl: Mean KL(pi || pi') of each candidate, smallest learning rate first, (C,).
        max_kl: A candidate with this much, or more, is rejected.
    """
    near = kl < max_kl
    near[0] = True
    return near


def adapted_bound(bound: float, fraction_rejected: float) -> float:
    """The bound of the next candidates: lower if more than 80 % were rejected, higher if none was."""
    if fraction_rejected > _MANY_REJECTED:
        return bound * _SHRINK
    return bound * _GROW if fraction_rejected == 0 else bound


class Choice(NamedTuple):
    """What an update was chosen by; not numbers, but for the values, where the update is refused.

    Attributes:
        values: The hyperparameters.
        estimate: The estimated return of the policy after the update.
        effective_sample_size: How many environments that is worth.
        kl: Mean KL divergence of that policy from the one before.
        rejected: The fraction of candidates that were too far from it.
    """

    values: dict[str, float]
    estimate: float
    effective_sample_size: float
    kl: float
    rejected: float


class HOOFAgent(HyperAgent):
    """Chooses A2C's learning rate before every update, from candidates between 0 and an adaptive bound.

    With `hyperparameters=["learning_rate", "ent_coef"]` candidates differ in the weight of the entropy bonus,
    too. Make the environment with `agents.env_kwargs("hoof")`; the command line does.

    Args:
        env: See `HyperAgent`; of A2C, with at least two inner environments, which are what is weighted.
        seed: See `HyperAgent`; draws the candidates.
        hyperparameters: `["learning_rate"]`, or `["learning_rate", "ent_coef"]`.
        candidates: How many there are. Default: 100; 50 with the entropy coefficient, as in the paper.
        bound: The largest learning rate of the first candidates.
        max_kl: Candidates whose mean KL divergence from the present policy is this or more are rejected.

    Attributes:
        bound: The largest learning rate of the next candidates.
        choice: What the last update was chosen by; None before the first.

    Raises:
        ValueError: The environment does not fit; the message says what would.
    """

    able: ClassVar[tuple[str, ...]] = ("learning_rate", "ent_coef")

    def __init__(
        self,
        env: gym.Env[Any, Any],
        seed: int = 0,
        *,
        hyperparameters: Sequence[str] = ("learning_rate",),
        candidates: int | None = None,
        bound: float = 0.01,
        max_kl: float = 0.03,
    ) -> None:
        super().__init__(env, seed)
        self.env_kwargs(hyperparameters=hyperparameters)
        check_fits("hoof", self.env, hyperparameters, self.able, ("A2C",))
        if self.env.inner_run_config.n_envs < 2:
            raise ValueError("Agent 'hoof' weighs inner environments against each other: give n_envs >= 2.")
        if candidates is not None:
            check_at_least("candidates", candidates, 1)
        check_positive("bound", bound)
        check_positive("max_kl", max_kl)
        self._with_entropy = "ent_coef" in hyperparameters
        self._candidates = candidates or (50 if self._with_entropy else 100)
        self.bound, self._max_kl = float(bound), max_kl
        self.choice: Choice | None = None

    @classmethod
    def env_kwargs(
        cls, *, hyperparameters: Sequence[str] = ("learning_rate",), **kwargs: Any
    ) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: ranges of what is chosen."""
        needed = range_kwargs("hoof", hyperparameters, cls.able)
        if "learning_rate" not in hyperparameters:
            raise ValueError(
                f"Agent 'hoof' always chooses the learning_rate, too: {hyperparameters!r} lacks it."
            )
        return needed

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        self.choice = self._choose(LearnerView(self.env.learner))
        return action_of(self.env, self.choice.values)

    def _choose(self, view: LearnerView) -> Choice:
        ranges = limits(self.env)
        rates = np.sort(self.rng.uniform(0.0, self.bound, self._candidates))
        rates = rates.clip(*ranges["learning_rate"])
        values = [{"learning_rate": rate} for rate in rates.tolist()]
        if self._with_entropy:
            for one, ent_coef in zip(values, self.rng.uniform(*ranges["ent_coef"], len(values)), strict=True):
                one["ent_coef"] = float(ent_coef)
            directions = torch.stack([view.step_direction(one) for one in values])
        else:
            directions = view.step_direction({})[None]
        if not torch.isfinite(directions).all():
            # The update will be refused, whatever the learning rate.
            return Choice(values[0], *[math.nan] * 4)
        steps = torch.as_tensor(rates, dtype=directions.dtype, device=directions.device)[:, None] * directions
        evaluation = view.evaluate(view.weights + steps)

        rollout = view.rollout
        weights = normalised_weights(evaluation.log_probs.cpu().numpy() - rollout.log_probs)
        estimates = wis_estimates(
            weights, rollout_returns(rollout.rewards, rollout.dones, rollout.last_values)
        )
        kl = evaluation.kl.mean(dim=(1, 2)).cpu().numpy()
        near = accepted(kl, self._max_kl)
        best = int(np.argmax(np.where(near, estimates, -np.inf)))
        rejected = float(1 - near.mean())
        self.bound = min(adapted_bound(self.bound, rejected), ranges["learning_rate"][1])
        size = float(effective_sample_size(weights)[best])
        return Choice(values[best], float(estimates[best]), size, float(kl[best]), rejected)

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        return {**super().state_dict(), "bound": self.bound}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self.bound = state["bound"]
