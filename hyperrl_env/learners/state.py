"""Everything that an inner learner would go on with: taken out, and put back in place."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from stable_baselines3.common.buffers import RolloutBuffer
from torch import Tensor

_ROLLOUT = (
    *("observations", "actions", "rewards", "returns", "episode_starts", "values", "log_probs", "advantages"),
    *("buffer_size", "pos", "full", "generator_ready", "gamma", "gae_lambda"),
)


def optimizer_state(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The moments and counts of each parameter, in the optimiser's order of them."""
    return [dict(optimizer.state.get(p, {})) for group in optimizer.param_groups for p in group["params"]]


@torch.no_grad()
def set_optimizer_state(optimizer: torch.optim.Optimizer, state: list[dict[str, Any]]) -> None:
    """Takes over what `optimizer_state` gave.

    Unlike Torch's `load_state_dict` it writes into the tensors that are there: others share them.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter, values in zip(parameters, state, strict=True):
        if not values:
            optimizer.state.pop(parameter, None)
            continue
        live = optimizer.state[parameter]
        for name, value in values.items():
            if isinstance(live.get(name), Tensor):
                live[name].copy_(value)
            elif isinstance(value, Tensor):
                # Torch counts steps on the CPU, whatever device the parameter is on.
                live[name] = value.clone() if value.ndim == 0 else value.to(parameter.device, copy=True)
            else:
                live[name] = value


def rollout_state(buffer: RolloutBuffer) -> dict[str, Any]:
    """The rollout at hand, laid out as the buffer has it."""
    return {name: getattr(buffer, name) for name in _ROLLOUT}


def set_rollout_state(buffer: RolloutBuffer, state: Mapping[str, Any]) -> None:
    """Takes over what `rollout_state` gave."""
    for name in _ROLLOUT:
        setattr(buffer, name, state[name])


def queue(items: list[Any], like: deque[Any] | None) -> deque[Any]:
    """The items as a queue of the same bound."""
    return deque(items, maxlen=None if like is None else like.maxlen)
