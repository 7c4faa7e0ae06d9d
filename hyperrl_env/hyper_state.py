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


class SharedArrays:
    """Tensors as matrices (see `as_matrix`) that NumPy shares with Torch, made once.

    Made again when a tensor's memory has moved (the module was copied, its parameters replaced).

    Args:
        tensors: Parameters or buffers; copied at every call where they are not on the CPU.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors = tuple(tensors)
        self._pointers: list[int] = []
        self._arrays: list[NDArray[np.float32]] = []

    def __call__(self) -> list[NDArray[np.float32]]:
        """The matrices, as they are now."""
        pointers = [tensor.data_ptr() for tensor in self._tensors]
        if pointers != self._pointers or self._tensors[0].device.type != "cpu":
            self._pointers = pointers
            self._arrays = [as_matrix(tensor.detach()).cpu().numpy() for tensor in self._tensors]
        return self._arrays


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
        self._arrays = [SharedArrays(views) for views in self._views]

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


class Products:
    """Memory for the products W_m^n C_m^n, one after the other; a copy has memory of its own.

    Args:
        rows: Of every product.
        columns: Of all of them.

    Attributes:
        flat: All products, (sum of rows * columns,).
        parts: The products, (rows, columns) each; views of `flat`.
    """

    def __init__(self, rows: Sequence[int], columns: int) -> None:
        self._shape = rows, columns
        self.flat = np.empty(sum(rows) * columns, np.float32)
        ends = np.cumsum(rows) * columns
        self.parts = [part.reshape(-1, columns) for part in np.split(self.flat, ends[:-1])]

    def __reduce__(self) -> tuple[type[Products], tuple[Sequence[int], int]]:
        # NumPy copies views without the array that they are views of.
        return Products, self._shape


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
        self._products = Products([rows for rows, _ in shapes], dim)

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
            for matrix, c, product in zip(matrices, self._arrays(), self._products.parts, strict=True):
                np.dot(matrix, c, out=product)
        state = np.append(self._products.flat, np.float32(position))
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
