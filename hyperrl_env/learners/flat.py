"""Parameters and optimiser of a policy as flat arrays, which Torch and NumPy share.

An update of a small network costs less than the calls that make it up. On one flat array the
optimiser takes a dozen calls instead of a dozen for each tensor. Torch's parameters become views of
that array, so that everything else still sees the policy and its optimiser as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Floats = NDArray[np.float32]


class FlatParameters:
    """The parameters of a module as views of one flat array, and their gradients of another.

    Args:
        module: On the CPU, in float32. Its parameters keep their values and identities.

    Attributes:
        values: (P,), shared with the module's parameters.
        gradients: (P,), shared with their `grad`.
    """

    def __init__(self, module: nn.Module) -> None:
        self._parameters = dict(module.named_parameters())
        size = sum(p.numel() for p in self._parameters.values())
        self.values: Floats = np.empty(size, np.float32)
        self.gradients: Floats = np.zeros(size, np.float32)
        for name, parameter in self._parameters.items():
            view = self.view(self.values, name)
            view[...] = parameter.detach().numpy()
            parameter.data = torch.from_numpy(view)
            parameter.grad = torch.from_numpy(self.view(self.gradients, name))

    def view(self, flat: Floats, name: str) -> Floats:
        """The part of a flat array (P,) that belongs to a parameter, in the parameter's shape."""
        start = 0
        for other, parameter in self._parameters.items():
            if other == name:
                return flat[start : start + parameter.numel()].reshape(tuple(parameter.shape))
            start += parameter.numel()
        raise KeyError(name)

    def share(self, optimizer: torch.optim.Optimizer, buffers: Mapping[str, Floats], step: Tensor) -> None:
        """Makes flat arrays and a step counter the state of a Torch optimiser of these parameters."""
        for name, parameter in self._parameters.items():
            state = {key: torch.from_numpy(self.view(flat, name)) for key, flat in buffers.items()}
            optimizer.state[parameter] = {"step": step, **state}


FlatStep = Callable[[float], None]


def is_plain(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `flat_optimizer` can do the optimiser's steps: Adam or RMSprop without extras."""
    group = optimizer.param_groups[0]
    if len(optimizer.param_groups) > 1 or group["weight_decay"] or group["maximize"]:
        return False
    if type(optimizer) is torch.optim.Adam:
        return not group["amsgrad"]
    return type(optimizer) is torch.optim.RMSprop and not group["centered"] and not group["momentum"]


def flat_optimizer(optimizer: torch.optim.Optimizer, flat: FlatParameters) -> FlatStep:
    """A function of the learning rate that does the same step as the optimiser, on flat arrays.

    Args:
        optimizer: Torch's, one for which `is_plain`, not stepped yet.
        flat: Its parameters.
    """
    make = _adam if isinstance(optimizer, torch.optim.Adam) else _rmsprop
    return make(optimizer, flat)


def _adam(optimizer: torch.optim.Optimizer, flat: FlatParameters) -> FlatStep:
    """Adam (Kingma and Ba 2015, Algorithm 1), in the order of Torch's operations."""
    (beta1, beta2), eps = optimizer.param_groups[0]["betas"], optimizer.param_groups[0]["eps"]
    theta, g = flat.values, flat.gradients
    m, v, scratch, update = np.zeros((4, theta.size), np.float32)
    count = torch.tensor(0.0)
    flat.share(optimizer, {"exp_avg": m, "exp_avg_sq": v}, count)

    def step(learning_rate: float) -> None:
        count.add_(1)
        t = count.item()
        np.subtract(g, m, out=scratch)
        np.multiply(scratch, 1 - beta1, out=scratch)
        np.add(m, scratch, out=m)
        np.multiply(v, beta2, out=v)
        np.multiply(g, g, out=scratch)
        np.multiply(scratch, 1 - beta2, out=scratch)
        np.add(v, scratch, out=v)
        np.sqrt(v, out=scratch)
        np.multiply(scratch, 1 / (1 - beta2**t) ** 0.5, out=scratch)
        np.add(scratch, eps, out=scratch)
        np.divide(m, scratch, out=update)
        np.multiply(update, learning_rate / (1 - beta1**t), out=update)
        np.subtract(theta, update, out=theta)

    return step


def _rmsprop(optimizer: torch.optim.Optimizer, flat: FlatParameters) -> FlatStep:
    """RMSprop (Hinton 2012), in the order of Torch's operations."""
    alpha, eps = optimizer.param_groups[0]["alpha"], optimizer.param_groups[0]["eps"]
    theta, g = flat.values, flat.gradients
    v, scratch, update = np.zeros((3, theta.size), np.float32)
    count = torch.tensor(0.0)
    flat.share(optimizer, {"square_avg": v}, count)

    def step(learning_rate: float) -> None:
        count.add_(1)
        np.multiply(v, alpha, out=v)
        np.multiply(g, g, out=scratch)
        np.multiply(scratch, 1 - alpha, out=scratch)
        np.add(v, scratch, out=v)
        np.sqrt(v, out=scratch)
        np.add(scratch, eps, out=scratch)
        np.divide(g, scratch, out=update)
        np.multiply(update, learning_rate, out=update)
        np.subtract(theta, update, out=theta)

    return step
