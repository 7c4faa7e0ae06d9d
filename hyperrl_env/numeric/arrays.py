"""Tensors as arrays: the matrices of Eq. 2, shared between Torch and NumPy.

Equation numbers refer to Le et al., "Episodic Policy Gradient Training", AAAI 2022.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]


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
        tensors: Parameters or buffers; copied at every call if they are not on the CPU.
        memory: Tensors that they are all views of. None: each has memory of its own.
    """

    def __init__(self, tensors: Iterable[Tensor], memory: Sequence[Tensor] | None = None) -> None:
        self._tensors = tuple(tensors)
        self._memory = self._tensors if memory is None else memory
        self._pointers: list[int] = []
        self._arrays: list[NDArray[np.float32]] = []

    def __call__(self) -> list[NDArray[np.float32]]:
        """The matrices, as they are now."""
        pointers = [tensor.data_ptr() for tensor in self._memory]
        if pointers != self._pointers or self._tensors[0].device.type != "cpu":
            self._pointers = pointers
            self._arrays = [as_matrix(tensor.detach()).cpu().numpy() for tensor in self._tensors]
        return self._arrays
