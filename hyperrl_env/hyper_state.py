"""The hyper-state: the learner's weights and last gradients, projected to a short vector (Eq. 2).

Equation numbers refer to Le et al., "Episodic Policy Gradient Training", AAAI 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hyperrl_env.numeric.arrays import SharedArrays

# Every run, and every process, starts from the same C: hyper-states of two runs can be compared.
PROJECTION_SEED = 0


class StateMemory:
    """Memory of a hyper-state: the products W_m^n C_m^n and the position; a copy has memory of its own.

    Args:
        rows: Of every product.
        columns: Of all of them.

    Attributes:
        state: All products one after the other, and the position, (sum of rows * columns + 1,).
        products: The products, (rows, columns) each; views of `state`.
    """

    def __init__(self, rows: Sequence[int], columns: int) -> None:
        self._shape = rows, columns
        self.state = np.empty(sum(rows) * columns + 1, np.float32)
        ends = np.cumsum(rows) * columns
        self.products = [part.reshape(-1, columns) for part in np.split(self.state[:-1], ends[:-1])]

    def __reduce__(self) -> tuple[type[StateMemory], tuple[Sequence[int], int]]:
        # NumPy copies views without the array that they are views of.
        return StateMemory, self._shape


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
        self._arrays = SharedArrays(self.maps)
        self._memory = StateMemory([rows for rows, _ in shapes], dim)

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

    def observation(self, matrices: Sequence[NDArray[np.float32]], position: float) -> NDArray[np.float32]:
        """The hyper-state as an observation.

        Args:
            matrices: W_m^n, each (out, in), in the order of the constructor's `shapes`.
            position: Fraction of the update phase that is done, in [0, 1].

        Returns:
            (state_size,), always finite.
        """
        # Dozens of small products: Torch's calls would cost several times the arithmetic.
        with np.errstate(over="ignore", invalid="ignore"):
            for matrix, c, product in zip(matrices, self._arrays(), self._memory.products, strict=True):
                np.dot(matrix, c, out=product)
        self._memory.state[-1] = position
        state = self._memory.state.copy()
        if not np.isfinite(state).all():
            # Finite weights overflow float32 only beyond 1e37; clamp rather than hand out infinity.
            np.nan_to_num(state, copy=False)
        return state

    def write_gradient(
        self, matrices: Sequence[Sequence[NDArray[np.float32]]], derivatives: NDArray[np.float32]
    ) -> None:
        """Writes the gradient of a loss into the `grad` of every map, as `forward` and autograd would.

        dL/dC_m^n is the sum of (W_m^n)^T dL/d(W_m^n C_m^n) over the hyper-states.

        Args:
            matrices: Of each of B hyper-states its W_m^n, (out, in).
            derivatives: Of the loss with respect to these hyper-states, (B, state_size).
        """
        start = 0
        for i, c in enumerate(self.maps):
            rows = matrices[0][i].shape[0]
            end = start + rows * c.shape[1]
            of_products = derivatives[:, start:end].reshape(len(matrices), rows, -1)
            # Several times as fast as its transpose, whose result is a narrow one.
            parts = [d.T @ state[i] for d, state in zip(of_products, matrices, strict=True)]
            c.grad = torch.from_numpy(np.ascontiguousarray(np.sum(parts, axis=0).T))
            start = end
