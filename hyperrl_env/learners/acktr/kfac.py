"""The mathematics of K-FAC: natural gradients with a Kronecker-factored Fisher matrix.

Martens and Grosse 2015 for linear layers, Grosse and Martens 2016 for convolutions, Wu et al. 2017
for the trust region (ACKTR). The Fisher matrix F = E[grad log p  grad log p^T] of a layer with inputs
a and derivatives g of log p with respect to its outputs is approximated by

    F = E[(a a^T) x (g g^T)]  ~  A x G,    A = E[a a^T],    G = E[g g^T].

| symbol | shape | meaning |
|---|---|---|
| a | (n,) | a layer's input; 1 is appended where it has a bias |
| g | (m,) | derivative of one sample's log p with respect to the layer's output |
| A, G | (n, n), (m, m) | the factors, moving averages over updates |
| W' | (m, n) | gradient of the objective, the bias's as last column |
| V | (m, n) | natural gradient, F^-1 W' |

A layer that is applied at T places (a convolution's positions, a layer called several times) has T
inputs a_t and derivatives g_t for each sample: A is the mean of a_t a_t^T over samples and places, G
the mean over samples of the sum of g_t g_t^T over places. ("KFAC-expand" of Eschenhagen et al. 2023.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

# Below this an eigenvalue of a factor is rounding; it may even be negative.
SMALLEST_EIGENVALUE = 1e-6

# Rows a^T that A is estimated from at one time, where every sample has many.
ENOUGH_ROWS = 4_096

Layer = nn.Linear | nn.Conv2d


def has_factors(module: nn.Module) -> TypeGuard[Layer]:
    """Whether a module is a layer that K-FAC has factors for."""
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return isinstance(module, nn.Linear)


def some_samples(inputs: Tensor, places: int) -> Tensor:
    """Evenly spaced samples of a layer's inputs, as few as have `ENOUGH_ROWS` rows a^T; (B', ...).

    A convolution has hundreds of places in every sample, and their outer products cost many times its
    own evaluation; factors converge long before. (Martens and Grosse 2015, Section 8.)
    """
    return inputs[:: max(1, len(inputs) * places // ENOUGH_ROWS)] if places > 1 else inputs


def input_factor(layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
    """A = E[a a^T], the mean over samples and places: (n, n).

    Args:
        layer: The layer.
        inputs: What it was evaluated on, as many times as it was: (B, ...) each.
    """
    rows = []
    for x in inputs:
        if isinstance(layer, nn.Conv2d):
            assert not isinstance(layer.padding, str)
            patches = functional.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
            rows.append(patches.transpose(1, 2).reshape(-1, patches.shape[1]))
        else:
            rows.append(x.reshape(-1, x.shape[-1]))
    a = torch.cat(rows)
    if layer.bias is not None:
        a = functional.pad(a, (0, 1), value=1.0)
    return (a.T @ a).div_(len(a))


def output_factor(layer: Layer, derivatives: Sequence[Tensor]) -> Tensor:
    """G = E[sum_t g_t g_t^T], the mean over samples of the sum over places: (m, m).

    Args:
        layer: The layer.
        derivatives: Of a loss that is the mean over a batch of -log p, with respect to the outputs of
            every time that the layer was evaluated: (B, ...) each. One sample's is g / B, so that
            G = (1/B) sum (B g')(B g')^T.
    """
    rows = [g.movedim(1, -1) if isinstance(layer, nn.Conv2d) else g for g in derivatives]
    g = torch.cat([row.reshape(-1, row.shape[-1]) for row in rows])
    return len(derivatives[0]) * (g.T @ g)


def moving_average(old: Tensor, new: Tensor, decay: float) -> None:
    """In place: old <- decay old + (1 - decay) new."""
    old.lerp_(new, 1 - decay)


class Basis(NamedTuple):
    """A factor's eigenvalues d (n,) and, as columns, its eigenvectors Q (n, n): Q diag(d) Q^T."""

    values: Tensor
    vectors: Tensor


def eigenbasis(factor: Tensor) -> Basis | None:
    """A factor's eigenbasis, eigenvalues below 1e-6 set to 0; None where it cannot be computed."""
    try:
        values, vectors = torch.linalg.eigh(factor)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return None
    if not (values.isfinite().all() and vectors.isfinite().all()):
        return None
    return Basis(values.where(values >= SMALLEST_EIGENVALUE, 0.0), vectors)


def precondition(gradient: Tensor, inputs: Basis, outputs: Basis, damping: float) -> Tensor:
    """V = Q_G [(Q_G^T W' Q_A) / (d_G d_A^T + damping)] Q_A^T, the natural gradient (m, n).

    Equals (A x G + damping I)^-1 vec(W'), without a matrix of that size.
    """
    rotated = outputs.vectors.T @ gradient @ inputs.vectors
    rotated /= torch.outer(outputs.values, inputs.values) + damping
    return outputs.vectors @ rotated @ inputs.vectors.T


def trust_region_scale(slope: float, learning_rate: float, kl_clip: float) -> float:
    """What keeps the step -eta nu V in the trust region: nu = min(1, sqrt(kl_clip / (eta^2 V . W'))).

    To second order the KL divergence of a step is half of step^T F step = (eta nu)^2 V . W', which
    nu keeps at or below kl_clip / 2.

    Args:
        slope: V . W', summed over all parameters.
        learning_rate: eta.
        kl_clip: The trust region.

    Returns:
        nu in [0, 1]. 1 where the slope is not positive: V is F^-1 W' with F positive definite, so
        that only a gradient of (almost) zero, or rounding, leads there, and there is nothing to
        limit. 0 where the slope is not finite: there is no step whose length is known.
    """
    squared_length = learning_rate * learning_rate * slope
    if not math.isfinite(squared_length):
        return 0.0
    return 1.0 if squared_length <= kl_clip else math.sqrt(kl_clip / squared_length)
