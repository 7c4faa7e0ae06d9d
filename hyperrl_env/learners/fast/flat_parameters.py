"""Parameters and optimiser of a policy as flat arrays, which Torch and NumPy share.

An update of a small network costs less than the calls that make it up. On one flat array the
optimiser takes a dozen calls instead of a dozen for each tensor. Torch's parameters become views of
that array, so that everything else still sees the policy and its optimiser as ever.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import groupby

import numpy as np
import torch
from torch import nn

from hyperrl_env.numeric.arrays import Floats


class FlatParameters:
    """The parameters of a module as views of one flat array, and their gradients of another.

    Args:
        module: On the CPU, in float32. Its parameters keep their values and identities.

    Attributes:
        values: (P,), shared with the module's parameters.
        gradients: (P,), shared with their `grad`.
        gradient_tensor: The same, as Torch sees it.
        trained: Of each parameter tensor 1, or 0 where it was frozen when this was made.
        frozen_gradients: The parts of `gradients` that belong to frozen parameters.
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
        self.trained: Floats = np.array([p.requires_grad for p in self._parameters.values()], np.float32)
        self.frozen_gradients = [
            self.view(self.gradients, name) for name, p in self._parameters.items() if not p.requires_grad
        ]
        self._shown = next(
            (p, view)
            for p, view in zip(self._parameters.values(), self._gradient_views, strict=True)
            if p.requires_grad
        )
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

    def show_gradients(self) -> None:
        """`share_gradients` where it is due, by what became of the first gradient."""
        parameter, view = self._shown
        if parameter.grad is not view:
            self.share_gradients()

    def share(self, optimizer: torch.optim.Optimizer, buffers: Mapping[str, Floats]) -> Floats:
        """Makes flat arrays the state of a Torch optimiser of these parameters, with what it holds now.

        Args:
            optimizer: One that `has_flat_state`.
            buffers: Its moments (P,) by Torch's names, zeros.

        Returns:
            The steps counted for each parameter tensor, shared with the optimiser; Torch counts
            each on its own.
        """
        counts: Floats = np.zeros(len(self._parameters), np.float32)
        for (name, parameter), count in zip(
            self._parameters.items(), torch.from_numpy(counts).unbind(), strict=True
        ):
            if not (parameter.requires_grad or optimizer.state.get(parameter)):
                # As in Torch, where a state begins with the first step.
                continue
            live = optimizer.state[parameter]
            shared = {key: torch.from_numpy(self.view(flat, name)) for key, flat in buffers.items()}
            for key, tensor in {"step": count, **shared}.items():
                if key in live:
                    tensor.copy_(torch.as_tensor(live[key]))
                live[key] = tensor
        return counts

    def stretches(self, counts: Floats) -> list[tuple[slice, int]]:
        """Where trained parameters that have done as many steps stand side by side in a flat array.

        Args:
            counts: The steps done of each parameter tensor.

        Returns:
            Of each stretch its place, and the index of its first parameter tensor.
        """
        ends = np.cumsum([p.numel() for p in self._parameters.values()])
        starts = ends - [p.numel() for p in self._parameters.values()]
        groups = groupby(range(len(counts)), key=lambda i: (self.trained[i], counts[i]))
        found = [(trained, list(indices)) for (trained, _), indices in groups]
        return [(slice(starts[i[0]], ends[i[-1]]), i[0]) for trained, i in found if trained]


class FlatOptimizer(ABC):
    """Does the steps of a Torch optimiser on flat arrays, which are that optimiser's state too.

    Args:
        optimizer: Adam or RMSprop for which `last_good.has_bounded_steps` and `has_flat_state`.
        flat: Its parameters.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, flat: FlatParameters) -> None:
        buffers = MOMENTS[type(optimizer)]
        self._optimizer, self._group = optimizer, optimizer.param_groups[0]
        self._flat = flat
        self._moments = np.zeros((len(buffers), flat.values.size), np.float32)
        self._counts = flat.share(optimizer, dict(zip(buffers, self._moments, strict=True)))
        # What they hold now, to be recognised by.
        self._attributes = len(vars(optimizer))
        self._options = {**self._group, "params": list(self._group["params"])}
        self._state = {parameter: dict(state) for parameter, state in optimizer.state.items()}
        self._counted = b""

    def serves(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether this is the optimiser, and its options and state are what they were (see `Parts`)."""
        self._options["lr"] = self._group.get("lr")
        groups = optimizer.param_groups
        try:
            return (
                optimizer is self._optimizer
                and len(groups) == 1
                and groups[0] is self._group
                and groups[0] == self._options
                and optimizer.state == self._state
                and len(vars(optimizer)) == self._attributes
            )
        except RuntimeError:
            return False

    def step(self) -> None:
        """One step with the learning rate of Torch's optimiser."""
        # Others may have stepped some of the parameters.
        if self._counts.tobytes() != self._counted:
            self._divide(self._flat.stretches(self._counts))
        self._counts += self._flat.trained
        self._counted = self._counts.tobytes()
        self._advance(self._group["lr"])

    @abstractmethod
    def _divide(self, stretches: list[tuple[slice, int]]) -> None:
        """Prepares steps on these stretches (see `FlatParameters.stretches`)."""

    @abstractmethod
    def _advance(self, learning_rate: float) -> None:
        """Moves the moments and the parameters."""


class FlatAdam(FlatOptimizer):
    """Adam (Kingma and Ba 2015, Algorithm 1), by the kernel behind Torch's `Adam(fused=True)`."""

    def _divide(self, stretches: list[tuple[slice, int]]) -> None:
        arrays = (self._flat.values, self._flat.gradients, *self._moments)
        self._parts = [[torch.from_numpy(array[place]) for place, _ in stretches] for array in arrays]
        self._steps = [torch.from_numpy(self._counts)[first] for _, first in stretches]

    def _advance(self, learning_rate: float) -> None:
        values, gradients, exp_avg, exp_avg_sq = self._parts
        beta1, beta2 = self._group["betas"]
        torch._fused_adam_(
            values,
            gradients,
            exp_avg,
            exp_avg_sq,
            [],
            self._steps,
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

    def _divide(self, stretches: list[tuple[slice, int]]) -> None:
        arrays = (self._flat.values, self._flat.gradients, *self._moments, np.empty_like(self._flat.values))
        self._parts = [tuple(array[place] for array in arrays) for place, _ in stretches]

    def _advance(self, learning_rate: float) -> None:
        alpha = self._group["alpha"]
        for values, g, v, x in self._parts:
            v *= alpha
            np.multiply(g, g, out=x)
            x *= 1 - alpha
            v += x
            np.sqrt(v, out=x)
            x += self._group["eps"]
            np.divide(g, x, out=x)
            x *= learning_rate
            values -= x


# Torch's names of the moments that an optimiser keeps.
MOMENTS: Mapping[type[torch.optim.Optimizer], tuple[str, ...]] = {
    torch.optim.Adam: ("exp_avg", "exp_avg_sq"),
    torch.optim.RMSprop: ("square_avg",),
}


def has_flat_state(optimizer: torch.optim.Optimizer) -> bool:
    """Whether Adam or RMSprop holds what it makes itself, or nothing: others can load anything into it."""
    moments = MOMENTS[type(optimizer)]
    return all(
        not state or ({"step", *moments} <= state.keys() and all(state[m].shape == p.shape for m in moments))
        for p, state in optimizer.state.items()
    )


def flat_optimizer(optimizer: torch.optim.Optimizer, flat: FlatParameters) -> FlatOptimizer:
    """The flat counterpart of an optimiser that it accepts."""
    kind = FlatAdam if isinstance(optimizer, torch.optim.Adam) else FlatRMSprop
    return kind(optimizer, flat)
