"""The hyper-state: the learner's weights and last gradients, projected to a short vector (Eq. 2).

Equation numbers refer to Le et al., "Episodic Policy Gradient Training", AAAI 2022.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

# Every run, and every process, starts from the same C: hyper-states of two runs can be compared.
PROJECTION_SEED = 0


def as_matrix(tensor: Tensor) -> Tensor:
    """Views a parameter tensor as the matrix W of Eq. 2.

    Args:
        tensor: A weight (out, in), a convolution (out, in, height, width), a bias or log_std (n,).

    Returns:
        (out, in * height * width) for weights and convolutions, (1, n) for vectors.
    """
    return tensor.reshape(tensor.shape[0], -1) if tensor.ndim > 1 else tensor.reshape(1, -1)


class GradientHistory:
    """The last gradients of the objective with respect to every parameter tensor, latest first.

    Args:
        parameters: The parameter tensors; gradients have their shapes. The history starts as zeros.
        order: How many gradients are kept, N_order >= 0.
    """

    def __init__(self, parameters: Iterable[Tensor], order: int) -> None:
        shapes = list(parameters)
        self._gradients = [[torch.zeros_like(p, requires_grad=False) for p in shapes] for _ in range(order)]

    def __len__(self) -> int:
        return len(self._gradients)

    def __getitem__(self, age: int) -> Sequence[Tensor]:
        """The gradients `age` updates before the latest (0: the latest), one per parameter tensor."""
        return self._gradients[age]

    def push(self, gradients: Sequence[Tensor]) -> None:
        """Adds the gradients of the update at hand, one per parameter; the oldest ones go.

        Args:
            gradients: Tensors that nobody writes to afterwards; they are kept, not copied.
        """
        if self._gradients:
            self._gradients = [list(gradients), *self._gradients[:-1]]


class HyperStateProjector(nn.Module):
    """C of Eq. 2: one trainable matrix (in, d) for every parameter tensor and every order.

    Entries start as N(0, 1/d), which keeps the squared norm of each row of W in expectation.

    Args:
        shapes: The (out, in) shapes of the matrices W_m^n, orders outermost: all weights first,
            then all latest gradients, then the gradients before them.
        dim: d, the length each row of W is projected to.

    Attributes:
        maps: The matrices C_m^n, in the order of `shapes`.
        state_size: Length of the hyper-state: d times the number of rows, plus 1 for the position.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]], dim: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(PROJECTION_SEED)
        self.maps = nn.ParameterList(
            torch.randn(columns, dim, generator=generator) / dim**0.5 for _, columns in shapes
        )
        self.state_size = dim * sum(rows for rows, _ in shapes) + 1

    def forward(self, matrices: Sequence[Tensor], position: Tensor) -> Tensor:
        """Eq. 2: s = [vec(W_m^n C_m^n)], then the position in the update phase.

        Args:
            matrices: W_m^n, each (..., out, in), in the order of the constructor's `shapes`.
            position: Fraction of the update phase that is done, in [0, 1], shape (..., 1).

        Returns:
            The hyper-state, (..., state_size), differentiable with respect to C.
        """
        features = [(w @ c).flatten(-2) for w, c in zip(matrices, self.maps, strict=True)]
        return torch.cat([*features, position], dim=-1)

    @torch.no_grad()
    def observation(self, matrices: Sequence[Tensor], position: float) -> NDArray[np.float32]:
        """The hyper-state as an observation: float32, always finite, (state_size,)."""
        state = self(matrices, matrices[0].new_tensor([position])).float()
        # Finite weights can overflow float32 only beyond 1e37; clamp rather than hand out infinity.
        return torch.nan_to_num(state).cpu().numpy()
