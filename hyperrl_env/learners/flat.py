"""Parameters and optimiser of a policy as flat arrays, which Torch and NumPy share.

An update of a small network costs less than the calls that make it up. On one flat array the
optimiser takes a dozen calls instead of a dozen for each tensor. Torch's parameters become views of
that array, so that everything else still sees the policy and its optimiser as ever.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Floats = NDArray[np.float32]


class FlatParameters:
    """The parameters of a module as views of one flat array, and their gradients of another.

    Args:
        module: On the CPU, in float32. Its parameters keep their values and identities.

    Attributes:
        values: (P,), shared with the module's parameters.
        gradients: (P,), shared with their `grad`.
        gradient_tensor: The same, as Torch sees it.
    """

    def __init__(self, module: nn.Module) -> None:
        self._parameters = dict(module.named_parameters())
        size = sum(p.numel() for p in self._parameters.values())
        self.values: Floats = np.empty(size, np.float32)
        self.gradients: Floats = np.zeros(size, np.float32)
        self.gradient_tensor = torch.from_numpy(self.gradients)
        self._gradient_views: list[torch.Tensor] = []
        for name, parameter in self._parameters.items():
            view = self.view(self.values, name)
            view[...] = parameter.detach().numpy()
            parameter.data = torch.from_numpy(view)
            self._gradient_views.append(torch.from_numpy(self.view(self.gradients, name)))
        self.share_gradients()

    def view(self, flat: Floats, name: str) -> Floats:
        """The part of a flat array (P,) that belongs to a parameter, in the parameter's shape."""
        start = 0
        for other, parameter in self._parameters.items():
            if other == name:
                return flat[start : start + parameter.numel()].reshape(tuple(parameter.shape))
            start += parameter.numel()
        raise KeyError(name)

    def share_gradients(self) -> None:
        """Makes the flat gradients Torch's `grad`; anew, where Torch has put its own in their place."""
        for parameter, view in zip(self._parameters.values(), self._gradient_views, strict=True):
            parameter.grad = view if parameter.requires_grad else None

    def share(self, optimizer: torch.optim.Optimizer, buffers: Mapping[str, Floats]) -> Floats:
        """Makes flat arrays the state of a Torch optimiser of these parameters.

        Args:
            optimizer: The optimiser.
            buffers: Its moments (P,) by Torch's names.

        Returns:
            The steps counted for each parameter tensor, shared with the optimiser; Torch counts
            each on its own.
        """
        counts: Floats = np.zeros(len(self._parameters), np.float32)
        for (name, parameter), count in zip(
            self._parameters.items(), torch.from_numpy(counts).unbind(), strict=True
        ):
            state = {key: torch.from_numpy(self.view(flat, name)) for key, flat in buffers.items()}
            optimizer.state[parameter] = {"step": count, **state}
        return counts


class FlatOptimizer(ABC):
    """Does the steps of a Torch optimiser on flat arrays, which are that optimiser's state too.

    Args:
        optimizer: Adam or RMSprop for which `last_good.is_plain`, not stepped yet.
        flat: Its parameters.
        buffers: Torch's names of the moments that it keeps.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, flat: FlatParameters, *buffers: str) -> None:
        self._group = optimizer.param_groups[0]
        self._values, self._gradients = flat.values, flat.gradients
        self._moments = np.zeros((len(buffers), flat.values.size), np.float32)
        self._counts = flat.share(optimizer, dict(zip(buffers, self._moments, strict=True)))

    def step(self) -> None:
        """One step with the learning rate of Torch's optimiser."""
        self._counts += 1
        self._advance(self._group["lr"])

    @abstractmethod
    def _advance(self, learning_rate: float) -> None:
        """Moves the moments and the parameters."""


class FlatAdam(FlatOptimizer):
    """Adam (Kingma and Ba 2015, Algorithm 1), by the kernel behind Torch's `Adam(fused=True)`."""

    def __init__(self, optimizer: torch.optim.Optimizer, flat: FlatParameters) -> None:
        super().__init__(optimizer, flat, "exp_avg", "exp_avg_sq")
        self._arrays = [torch.from_numpy(a) for a in (flat.values, flat.gradients, *self._moments)]
        self._count = torch.from_numpy(self._counts)[0]

    def _advance(self, learning_rate: float) -> None:
        values, gradients, exp_avg, exp_avg_sq = self._arrays
        beta1, beta2 = self._group["betas"]
        torch._fused_adam_(
            [values],
            [gradients],
            [exp_avg],
            [exp_avg_sq],
            [],
            [self._count],
            lr=learning_rate,
            beta1=beta1,
            beta2=beta2,
            weight_decay=0.0,
            eps=self._group["eps"],
            amsgrad=False,
            maximize=False,
        )


class FlatRMSprop(FlatOptimizer):
    """RMSprop (Hinton 2012)."""

    def __init__(self, optimizer: torch.optim.Optimizer, flat: FlatParameters) -> None:
        super().__init__(optimizer, flat, "square_avg")
        self._scratch = np.empty_like(flat.values)

    def _advance(self, learning_rate: float) -> None:
        alpha = self._group["alpha"]
        g, (v,), x = self._gradients, self._moments, self._scratch
        v *= alpha
        np.multiply(g, g, out=x)
        x *= 1 - alpha
        v += x
        np.sqrt(v, out=x)
        x += self._group["eps"]
        np.divide(g, x, out=x)
        x *= learning_rate
        self._values -= x


def flat_optimizer(optimizer: torch.optim.Optimizer, flat: FlatParameters) -> FlatOptimizer:
    """The flat counterpart of an optimiser that it accepts."""
    kind = FlatAdam if isinstance(optimizer, torch.optim.Adam) else FlatRMSprop
    return kind(optimizer, flat)
