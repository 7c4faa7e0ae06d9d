"""K-FAC as a Torch optimiser: natural gradient descent in a trust region, with momentum."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast, overload

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from hyperrl_env.learners.acktr.kfac import (
    Basis,
    Layer,
    eigenbasis,
    has_factors,
    input_factor,
    moving_average,
    output_factor,
    precondition,
    some_samples,
    trust_region_scale,
)


class Report(NamedTuple):
    """What happened in a step.

    Attributes:
        trust_region_scale: nu; 0 where there was no step to take.
        eigh_failures: Factors whose eigendecomposition failed: they keep the last good one.
        statistics_refused: Layers whose new statistics were not finite: they keep the old ones.
    """

    trust_region_scale: float
    eigh_failures: int
    statistics_refused: int


class _Call(NamedTuple):
    """One evaluation of a layer: what went in, and where in the graph its output is."""

    layer: Layer
    inputs: Tensor
    output: GradientEdge


class KFAC(torch.optim.Optimizer):
    """Natural gradient descent in a trust region, with momentum.

    V is preconditioned layer by layer, scaled by nu, averaged by momentum, and applied:

        buffer <- momentum buffer + nu V,    W <- W - eta (1 - momentum) buffer.

    Every `nn.Linear` and `nn.Conv2d` has Kronecker factors (not grouped convolutions, nor those with
    padding other than a number of zeros). A parameter in `diagonals` has its exact, constant Fisher
    value f: V = W' / (f + damping). Any other parameter takes its plain gradient, V = W', as if F = I.
    So does a layer until it has statistics.

    Statistics come from a Fisher loss of their own, which leaves `grad` alone:

        with optimizer.watching():
            output = module(observations)
        optimizer.take_statistics(fisher_loss(output))
        loss(output).backward()
        optimizer.step()

    They enter the factors in `step`; without a step they are dropped. No statistic that is not
    finite enters.

    Args:
        module: Whose parameters are optimised.
        lr: eta, the step size.
        momentum: In [0, 1).
        kl_clip: The trust region of a step.
        damping: Added to the eigenvalues of F.
        weight_decay: Times the parameter, added to its gradient W'.
        stats_interval: Steps from one `take_statistics` to the next (Ts).
        inversion_interval: Steps from one eigendecomposition to the next (Tf).
        stats_decay: Decay of the factors' moving averages, which start at the first sample.
        diagonals: The diagonal Fisher information of parameters outside of layers.

    Attributes:
        report: What happened in the last step.
    """

    def __init__(
        self,
        module: nn.Module,
        lr: float = 0.25,
        *,
        momentum: float = 0.9,
        kl_clip: float = 0.001,
        damping: float = 0.01,
        weight_decay: float = 0.0,
        stats_interval: int = 1,
        inversion_interval: int = 10,
        stats_decay: float = 0.99,
        diagonals: Mapping[nn.Parameter, float] | None = None,
    ) -> None:
        options = {
            "lr": lr,
            "momentum": momentum,
            "kl_clip": kl_clip,
            "damping": damping,
            "weight_decay": weight_decay,
            "stats_interval": stats_interval,
            "inversion_interval": inversion_interval,
            "stats_decay": stats_decay,
        }
        super().__init__(module.parameters(), options)
        self._layers: list[Layer] = [layer for layer in module.modules() if has_factors(layer)]
        self._diagonals = dict(diagonals or {})
        self._calls: list[_Call] = []
        self._fresh: dict[Tensor, tuple[Tensor, Tensor]] = {}
        self.report = Report(1.0, 0, 0)

    def __getstate__(self) -> dict[str, Any]:
        # Torch's knows nothing of the layers: a copy of a policy would lose them.
        return {
            **super().__getstate__(),
            "_layers": self._layers,
            "_diagonals": self._diagonals,
            "_calls": [],
            "_fresh": {},
            "report": self.report,
        }

    # ------------------------------------------------------------------ statistics

    @property
    def statistics_due(self) -> bool:
        """Whether the next step is one for which statistics are to be taken."""
        return self._age("statistics_age") >= float(self.param_groups[0]["stats_interval"])

    @contextmanager
    def watching(self, active: bool = True) -> Iterator[None]:
        """Keeps what layers are evaluated on inside the block, for `take_statistics`."""
        self.drop_statistics()
        handles = [layer.register_forward_hook(self._watch) for layer in self._layers if active]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def drop_statistics(self) -> None:
        """Forgets what no step has taken in."""
        self._calls, self._fresh = [], {}

    def _watch(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:
            # The edge, not the tensor: an activation may change that in place.
            layer = cast(Layer, layer)
            places = output[0].numel() // len(layer.weight)
            kept = some_samples(inputs[0].detach(), places)
            self._calls.append(_Call(layer, kept, get_gradient_edge(output)))

    def take_statistics(self, fisher_loss: Tensor) -> None:
        """Computes this batch's factors, for the next `step` to take in.

        Args:
            fisher_loss: Mean over the samples of -log p of a sample of the model's own prediction, in
                the graph that was built inside `watching`; the graph stays usable.
        """
        calls, self._calls = self._calls, []
        if not calls:
            return
        derivatives = torch.autograd.grad(
            fisher_loss, [call.output for call in calls], retain_graph=True, allow_unused=True
        )
        with torch.no_grad():
            for layer in dict.fromkeys(call.layer for call in calls):
                seen = [
                    (call.inputs, g)
                    for call, g in zip(calls, derivatives, strict=True)
                    if call.layer is layer and g is not None
                ]
                if seen:
                    self.add_statistics(layer, *zip(*seen, strict=True))

    def add_statistics(self, layer: Layer, inputs: Sequence[Tensor], derivatives: Sequence[Tensor]) -> None:
        """Computes this batch's factors of one layer, for the next `step` to take in.

        Args:
            layer: A layer that has factors.
            inputs: What it was evaluated on, as many times as it was: (B, ...) each.
            derivatives: Of the Fisher loss with respect to its outputs: (B, ...) each.
        """
        self._fresh[layer.weight] = (input_factor(layer, inputs), output_factor(layer, derivatives))

    # ------------------------------------------------------------------ the step

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Takes the statistics in and moves the parameters along the natural gradient of `grad`.

        Args:
            closure: As Torch has it: evaluates the loss and its gradient anew, and returns the loss.

        Returns:
            What `closure` returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        (group,) = self.param_groups
        refused, failures = self._take_in(), self._decompose()

        decay = group["weight_decay"]
        gradients = {
            p: p.grad if decay == 0 else p.grad.add(p, alpha=decay)
            for p in group["params"]
            if p.grad is not None
        }
        directions = self._natural_gradients(gradients)
        slope = float(sum(torch.sum(directions[p] * gradient) for p, gradient in gradients.items()))
        scale = trust_region_scale(slope, group["lr"], group["kl_clip"])
        self.report = Report(scale, failures, refused)
        if scale > 0:
            for p, direction in directions.items():
                buffer = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                buffer.mul_(group["momentum"]).add_(direction, alpha=scale)
                p.add_(buffer, alpha=-group["lr"] * (1 - group["momentum"]))
        return loss

    def _take_in(self) -> int:
        """Takes this batch's factors into the averages; returns of how many layers they were not finite."""
        fresh, self._fresh = self._fresh, {}
        decay, refused = self.param_groups[0]["stats_decay"], 0
        for weight, factors in fresh.items():
            # Second moments: where any entry is not finite, one of its two on the diagonal is not either.
            if not all(factor.diagonal().isfinite().all() for factor in factors):
                refused += 1
                continue
            state = self.state[weight]
            for name, factor in zip(("input_factor", "output_factor"), factors, strict=True):
                if name in state:
                    moving_average(state[name], factor, decay)
                else:
                    state[name] = factor
        self._grow("statistics_age", renewed=bool(fresh))
        return refused

    def _decompose(self) -> int:
        """Renews the bases where that is due; returns how many factors could not be decomposed."""
        due = self._age("basis_age") >= self.param_groups[0]["inversion_interval"]
        self._grow("basis_age", renewed=due)
        failures = 0
        for weight in [layer.weight for layer in self._layers if due]:
            state = self.state.get(weight, {})
            for side in ("input", "output"):
                if f"{side}_factor" in state:
                    basis = eigenbasis(state[f"{side}_factor"])
                    if basis is None:
                        failures += 1
                        continue
                    for part, value in basis._asdict().items():
                        state.setdefault(f"{side}_{part}", torch.empty_like(value)).copy_(value)
        return failures

    def _natural_gradients(self, gradients: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
        """V of every parameter that has a gradient W'."""
        damping = self.param_groups[0]["damping"]
        directions = dict(gradients)
        for p, fisher in self._diagonals.items():
            if p in gradients:
                directions[p] = gradients[p] / (fisher + damping)
        for layer in self._layers:
            weight, bias = layer.weight, layer.bias
            state = self.state.get(weight, {})
            if weight not in gradients or not {"input_vectors", "output_vectors"} <= state.keys():
                continue
            matrix = gradients[weight].flatten(1)
            if bias is not None:
                column = gradients[bias] if bias in gradients else torch.zeros_like(bias)
                matrix = torch.cat([matrix, column.unsqueeze(1)], dim=1)
            natural = precondition(
                matrix,
                Basis(state["input_values"], state["input_vectors"]),
                Basis(state["output_values"], state["output_vectors"]),
                damping,
            )
            if bias is not None:
                natural, column = natural[:, :-1], natural[:, -1]
                if bias in gradients:
                    directions[bias] = column
            directions[weight] = natural.reshape(weight.shape)
        return directions

    # What has happened when is kept with the first parameter, in tensors as Torch's own counters are.

    def _age(self, what: str) -> float:
        """Steps since the statistics were taken, or the bases computed; infinite where never."""
        first = self.param_groups[0]["params"][0]
        # A look that makes no entry: Torch's state is a defaultdict.
        return float(self.state[first].get(what, math.inf)) if first in self.state else math.inf

    def _grow(self, what: str, renewed: bool) -> None:
        """Counts this step in an age, from 0 where it was renewed in this step."""
        state = self.state[self.param_groups[0]["params"][0]]
        if renewed:
            state.setdefault(what, torch.zeros(())).fill_(1.0)
        elif what in state:
            state[what] += 1
