"""The last gradients of the objective: W_m^n of Eq. 2 for n >= 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hyperrl_env.numeric.arrays import SharedArrays


class GradientHistory:
    """The last gradients of the objective with respect to every parameter tensor, latest first.

    Args:
        parameters: The parameter tensors; gradients have their shapes. The history starts as zeros.
        order: How many gradients are kept, N_order >= 0.
    """

    def __init__(self, parameters: Iterable[Tensor], order: int) -> None:
        like = list(parameters)
        sizes = [p.numel() for p in like]
        self._flat = [torch.cat([torch.zeros_like(p).view(-1) for p in like]) for _ in range(order)]
        self._views = [
            [part.view(p.shape) for part, p in zip(flat.split(sizes), like, strict=True)]
            for flat in self._flat
        ]
        self._arrays = [
            SharedArrays(views, [flat]) for views, flat in zip(self._views, self._flat, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._flat)

    def __getitem__(self, age: int) -> Sequence[Tensor]:
        """The gradients `age` updates before the latest (0: the latest), one per parameter tensor."""
        return self._views[age]

    def push(self, gradient: Tensor) -> None:
        """Adds a copy of the gradient of the update at hand; the oldest one goes.

        Args:
            gradient: Of all parameters, flattened one after the other, (P,).
        """
        if self._flat:
            self._flat.insert(0, self._flat.pop().copy_(gradient))
            self._views.insert(0, self._views.pop())
            self._arrays.insert(0, self._arrays.pop())

    def state(self) -> list[Tensor]:
        """The gradients, latest first, each of all parameters one after the other; (P,), not copied."""
        return list(self._flat)

    def set_state(self, gradients: Sequence[Tensor]) -> None:
        """Takes over a copy of what `state` gave."""
        for flat, gradient in zip(self._flat, gradients, strict=True):
            flat.copy_(gradient)

    def matrices(self) -> list[NDArray[np.float32]]:
        """All gradients as the matrices W of Eq. 2, latest first, one per parameter tensor each."""
        return [matrix for arrays in self._arrays for matrix in arrays()]
