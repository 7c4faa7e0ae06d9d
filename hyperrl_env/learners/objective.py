"""The actor-critic objective on a whole rollout: A2C's and ACKTR's."""

from __future__ import annotations

from typing import NamedTuple

import torch
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor
from torch.nn import functional


class Objective(NamedTuple):
    """What an update minimises, and its parts (scalars).

    Attributes:
        loss: policy_loss + ent_coef entropy_loss + vf_coef value_loss.
        policy_loss: -mean A log pi(a|s).
        value_loss: Mean squared error of V(s).
        entropy_loss: Minus the mean entropy.
    """

    loss: Tensor
    policy_loss: Tensor
    value_loss: Tensor
    entropy_loss: Tensor


def actor_critic_objective(
    samples: RolloutBufferSamples,
    evaluated: tuple[Tensor, Tensor, Tensor | None],
    *,
    normalize_advantage: bool,
    ent_coef: float,
    vf_coef: float,
) -> Objective:
    """The objective of A2C (Mnih et al. 2016) in Stable-Baselines3's arithmetic, to the bit.

    Args:
        samples: The rollout, B samples.
        evaluated: What `policy.evaluate_actions` returned on it: V(s) (B, 1), log pi(a|s) (B,), and the
            entropies (B,), which are None where they have no closed form.
        normalize_advantage: Whether advantages are standardised over the rollout.
        ent_coef: Weight of the entropy bonus.
        vf_coef: Weight of the value loss.
    """
    values, log_prob, entropy = evaluated
    advantages = samples.advantages
    if normalize_advantage:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy_loss = -(advantages * log_prob).mean()
    value_loss = functional.mse_loss(samples.returns, values.flatten())
    # Without a closed form the entropy is estimated from the samples.
    entropy_loss = -torch.mean(-log_prob if entropy is None else entropy)
    loss = policy_loss + ent_coef * entropy_loss + vf_coef * value_loss
    return Objective(loss, policy_loss, value_loss, entropy_loss)
