"""Meta-gradient: hyperparameters follow the gradient of how well the updated policy does.

Xu, van Hasselt and Silver, "Meta-Gradient Reinforcement Learning", NeurIPS 2018, for gamma and lambda; for
the learning rate as Paul, Kurin and Whiteson (NeurIPS 2019) run it, who call it tuned meta-gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import gymnasium as gym
import numpy as np
from torch import Tensor

from agents.base import HyperAgent, Observation
from agents.continuous import check_fits, limits, range_kwargs
from agents.values import action_of
from hyperrl_env import LearnerView
from hyperrl_env.checks import check_positive
from hyperrl_env.learners.rollout_targets import Arrays, CollectedRollout
from hyperrl_env.numeric.discounted_sums import discounted_sums

# From a meta-parameter at infinity no gradient leads back.
_EDGE = 1e-3
# The exponential of more is too large for a float.
_LARGEST_EXPONENT = 700.0


class TargetDerivatives(NamedTuple):
    """Derivatives of the advantages of a rollout, which are those of its lambda-returns, (T, N) each."""

    gamma: Arrays
    gae_lambda: Arrays


def target_derivatives(rollout: CollectedRollout, gamma: float, gae_lambda: float) -> TargetDerivatives:
    """How lambda-returns change with gamma and lambda: the recursion of the advantages, differentiated.

    With b_t the value of what follows step t, 0 after an episode's end, and c_t = 0 there, else 1:

        A_t      = r_t + gamma b_t - V_t   + gamma lambda c_t A_{t+1}
        dA/dgamma  = b_t + lambda c_t A_{t+1} + gamma lambda c_t dA_{t+1}/dgamma
        dA/dlambda = gamma c_t A_{t+1}        + gamma lambda c_t dA_{t+1}/dlambda

    (Xu et al. 2018, Eq. 10 and 11, for generalised advantages).

    Args:
        rollout: The rollout, T steps in N environments.
        gamma: Discount factor.
        gae_lambda: Lambda.
    """
    alive = ~rollout.dones
    following = np.concatenate([rollout.values[1:], rollout.last_values[None]])
    # After a time limit, the value of the observation that was cut off.
    following = following * alive + rollout.time_limit_values
    factors = gamma * gae_lambda * alive
    advantages = discounted_sums(rollout.rewards + gamma * following - rollout.values, factors)
    next_advantages = np.concatenate([advantages[1:], np.zeros_like(advantages[:1])]) * alive
    return TargetDerivatives(
        gamma=discounted_sums(following + gae_lambda * next_advantages, factors),
        gae_lambda=discounted_sums(gamma * next_advantages, factors),
    )


def log_step(value: float, slope: float, meta_step: float) -> float:
    """A gradient step on log value, which keeps it positive; infinite where it is too long for a float.

    Args:
        value: The meta-parameter, above 0.
        slope: d J / d value.
        meta_step: beta.
    """
    exponent = meta_step * value * slope
    return value * math.exp(exponent) if exponent < _LARGEST_EXPONENT else math.inf


def logit_step(value: float, slope: float, meta_step: float) -> float:
    """A gradient step on log(value / (1 - value)), which keeps it between 0 and 1; arguments as above."""
    inside = min(max(value, _EDGE), 1 - _EDGE)
    logit = math.log(inside / (1 - inside)) + meta_step * inside * (1 - inside) * slope
    # The logistic function, in a form that does not overflow.
    return (1 + math.tanh(logit / 2)) / 2


class MetaGradientAgent(HyperAgent):
    """Moves the learning rate, gamma and lambda of an update phase along the meta-gradient.

    The weights theta' that an update phase leads to depend on a hyperparameter eta. Once the next rollout
    is there, g' = d J / d theta' is the policy gradient on it, with the task's own gamma and lambda, and
    eta moves by beta <g', d theta' / d eta> (Xu et al. 2018, Eq. 4 to 6, with what earlier updates
    contributed left out, as there). For the learning rate, d theta' / d eta is u, the last update
    divided by it. The learning rate moves on its logarithm; gamma and lambda on their logits.

    The first update phase has the task's own values. Make the environment with `agents.env_kwargs("tmg")`;
    the command line does.

    Args:
        env: See `HyperAgent`; of A2C or, for the learning rate alone, PPO.
        seed: See `HyperAgent`; nothing is drawn.
        hyperparameters: Of "learning_rate", "gamma" and "gae_lambda".
        meta_step: beta. The method needs it tuned.

    Attributes:
        values: The hyperparameters of the present update phase.

    Raises:
        ValueError: The environment does not fit; the message says what would.
    """

    able: ClassVar[tuple[str, ...]] = ("learning_rate", "gamma", "gae_lambda")

    def __init__(
        self,
        env: gym.Env[Any, Any],
        seed: int = 0,
        *,
        hyperparameters: Sequence[str] = ("learning_rate",),
        meta_step: float = 10.0,
    ) -> None:
        super().__init__(env, seed)
        self.env_kwargs(hyperparameters=hyperparameters)
        algorithms = ("A2C", "PPO") if tuple(hyperparameters) == ("learning_rate",) else ("A2C",)
        check_fits("tmg", self.env, hyperparameters, self.able, algorithms)
        check_positive("meta_step", meta_step)
        self._meta_step = meta_step
        self.values: dict[str, float] = {}
        # The weights before the last update phase, and what it made them depend on gamma and lambda.
        self._before: Tensor | None = None
        self._influence: dict[str, Tensor] = {}

    @classmethod
    def env_kwargs(
        cls, *, hyperparameters: Sequence[str] = ("learning_rate",), **kwargs: Any
    ) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: ranges of what is chosen."""
        return range_kwargs("tmg", hyperparameters, cls.able)

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        own = self.env.learner.default_values()
        if info["update_step"] == 0:
            if info["phase"] == 0:
                self.values, self._before = {name: own[name] for name in self.search_space.names}, None
            self._begin_phase(LearnerView(self.env.learner), own)
        return action_of(self.env, self.values)

    def _begin_phase(self, view: LearnerView, own: Mapping[str, float]) -> None:
        if self._before is not None:
            self._move(view)
        self._before = view.weights
        discounts = [name for name in self.values if name != "learning_rate"]
        if discounts:
            now = {**own, **self.values}
            derivatives = target_derivatives(view.rollout, now["gamma"], now["gae_lambda"])._asdict()
            self._influence = {
                name: now["learning_rate"] * view.step_derivative(self.values, derivatives[name])
                for name in discounts
            }

    def _move(self, view: LearnerView) -> None:
        """The meta-gradient step on every hyperparameter."""
        assert self._before is not None
        influence = dict(self._influence)
        if (learning_rate := self.values.get("learning_rate", 0.0)) > 0:
            influence["learning_rate"] = (view.weights - self._before) / learning_rate
        gradient = view.policy_gradient()
        ranges = limits(self.env)
        for name, direction in influence.items():
            slope = float(gradient @ direction)
            if math.isfinite(slope):
                step = log_step if name == "learning_rate" else logit_step
                low, high = ranges[name]
                self.values[name] = min(max(step(self.values[name], slope, self._meta_step), low), high)

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        return {
            **super().state_dict(),
            "values": dict(self.values),
            "before": self._before,
            "influence": dict(self._influence),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self.values, self._influence = dict(state["values"]), dict(state["influence"])
        self._before = state["before"]
