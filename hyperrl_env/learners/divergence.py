"""The Kullback-Leibler divergence between two policies at the same observations, in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal
from torch.nn.functional import log_softmax


def gaussian_kl(mean: Tensor, std: Tensor, other_mean: Tensor, other_std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(other_mean, other_std^2)) of independent components, summed over them.

    log(s'/s) + (s^2 + (m - m')^2) / (2 s'^2) - 1/2 for each.

    Args:
        mean: m, (..., A).
        std: s, (..., A).
        other_mean: m', (..., A).
        other_std: s', (..., A).

    Returns:
        (...).
    """
    spread = (std.square() + (mean - other_mean).square()) / (2 * other_std.square())
    return ((other_std / std).log() + spread - 0.5).sum(-1)


def categorical_kl(logits: Tensor, other_logits: Tensor) -> Tensor:
    """KL(p || q) = sum p (log p - log q) of categorical distributions.

    Args:
        logits: Of p, up to a constant, (..., K).
        other_logits: Of q, up to a constant, (..., K).

    Returns:
        (...).
    """
    log_p, log_q = log_softmax(logits, -1), log_softmax(other_logits, -1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def kl_divergence(present: Any, other: Any) -> Tensor:
    """KL(present || other) of the Torch distributions that Stable-Baselines3's policies act by.

    A squashed Gaussian's is that of the Gaussian.

    Args:
        present: Normal, Categorical, Bernoulli, or a list of Categorical; of S observations.
        other: The same.

    Returns:
        (S,).
    """
    if isinstance(present, list):
        return torch.stack([kl_divergence(p, q) for p, q in zip(present, other, strict=True)]).sum(0)
    if isinstance(present, Normal):
        return gaussian_kl(present.mean, present.stddev, other.mean, other.stddev)
    if isinstance(present, Bernoulli):
        p, q = (torch.stack([torch.zeros_like(d.logits), d.logits], -1) for d in (present, other))
        return categorical_kl(p, q).sum(-1)
    return categorical_kl(present.logits, other.logits)
