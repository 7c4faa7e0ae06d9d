"""Objectives and their derivatives, written out; equal to Torch's to rounding."""

from __future__ import annotations

import math

import numpy as np

from hyperrl_env.learners.fast.actor_critic import ActorCritic
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


def actor_critic_objective(
    policy: ActorCritic,
    evaluated: tuple[Floats, Floats, float],
    advantages: Floats,
    returns: Floats,
    *,
    ent_coef: float,
    vf_coef: float,
) -> dict[str, float]:
    """`objective.actor_critic_objective` by its parts' names; its gradient is written by the policy.

    Args:
        policy: Has just evaluated the rollout.
        evaluated: V(s) (B,), log pi(a|s) (B,), and the mean entropy.
        advantages: As they enter the objective, (B,).
        returns: (B,).
        ent_coef: Weight of the entropy bonus.
        vf_coef: Weight of the value loss.
    """
    values, log_prob, entropy = evaluated
    policy_loss = -float(advantages @ log_prob) / len(advantages)
    value_loss, delta_values = value_objective(values, values, returns, None)
    policy.gradient(np.float32(vf_coef) * delta_values, advantages / np.float32(-len(advantages)), -ent_coef)
    loss = policy_loss - ent_coef * entropy + vf_coef * value_loss
    return {"loss": loss, "policy_loss": policy_loss, "value_loss": value_loss, "entropy_loss": -entropy}
