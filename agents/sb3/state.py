"""The state of an SB3 algorithm, as a checkpoint can hold it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from inspect import signature
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import BaseBuffer, NStepReplayBuffer, ReplayBuffer, RolloutBuffer
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise

_BUFFERS = (ReplayBuffer, NStepReplayBuffer, RolloutBuffer)
# Types of what changes while an algorithm trains, besides networks and buffers.
_PLAIN = (bool, int, float, np.ndarray, np.generic)
# SB3 reads the clock for its logs, but equal runs must have equal states.
_CLOCK = "start_time"


def check_buffer(cls: type[BaseBuffer]) -> None:
    """Refuses a buffer class whose state cannot be saved completely.

    Raises:
        ValueError: The class is not one of SB3's own buffers of plain observations.
    """
    if cls not in _BUFFERS:
        names = ", ".join(buffer.__name__ for buffer in _BUFFERS)
        raise ValueError(
            f"{getattr(cls, '__name__', cls)} cannot be the buffer of a hyper-agent, because its state "
            f"cannot be saved. Valid buffers: {names}."
        )


def check_action_noise(noise: ActionNoise | None) -> None:
    """Refuses action noise whose state cannot be saved.

    Raises:
        ValueError: The noise is not an `ActionNoise`, or has an attribute that is neither a number nor an
            array.
    """
    if noise is None:
        return
    if not isinstance(noise, ActionNoise):
        raise ValueError(f"action_noise must be an SB3 ActionNoise or None, not {noise!r}.")
    for leaf in _leaves(noise):
        for name, value in vars(leaf).items():
            if not isinstance(value, (*_PLAIN, type, np.dtype, str, type(None))):
                raise ValueError(
                    f"{type(leaf).__name__} cannot be the action noise of a hyper-agent, because its "
                    f"{name} is a {type(value).__name__}. Only numbers and arrays can be saved."
                )


def algorithm_state(model: BaseAlgorithm) -> dict[str, Any]:
    """Everything that training changes in an algorithm except the buffer, copied."""
    return {
        "parameters": copy.deepcopy(model.get_parameters()),
        "variables": {
            name: getattr(model, name).detach().clone() for name in model._get_torch_save_params()[1]
        },
        "exploration": [
            {
                "matrix": noise.exploration_mat.detach().clone(),
                "matrices": noise.exploration_matrices.detach().clone(),
            }
            for noise in _state_dependent_noise(model)
        ],
        "action_noise": [_plain_attributes(noise) for noise in _leaves(model.action_noise)],
        "action_space": model.action_space.np_random.bit_generator.state,
        "counters": _counters(model),
    }


def load_algorithm_state(model: BaseAlgorithm, state: Mapping[str, Any]) -> None:
    """Restores an `algorithm_state` in an algorithm of the same class and settings."""
    model.set_parameters(copy.deepcopy(state["parameters"]))
    with torch.no_grad():
        for name, value in state["variables"].items():
            # In place, because an optimiser refers to it.
            getattr(model, name).copy_(value)
    for noise, saved in zip(_state_dependent_noise(model), state["exploration"], strict=True):
        noise.exploration_mat = saved["matrix"].to(model.device, copy=True)
        noise.exploration_matrices = saved["matrices"].to(model.device, copy=True)
    for leaf, attributes in zip(_leaves(model.action_noise), state["action_noise"], strict=True):
        vars(leaf).update(copy.deepcopy(attributes))
    model.action_space.np_random.bit_generator.state = state["action_space"]
    vars(model).update(copy.deepcopy(state["counters"]))


def buffer_state(buffer: BaseBuffer) -> dict[str, Any]:
    """The content of a buffer: its filled rows, copied."""
    # One row more than transitions: with `optimize_memory_usage` it has the last next observation.
    rows = buffer.size() + 1
    return {
        "pos": buffer.pos,
        "full": buffer.full,
        "arrays": {
            name: array[:rows].copy() for name, array in vars(buffer).items() if isinstance(array, np.ndarray)
        },
    }


def load_buffer_state(buffer: BaseBuffer, state: Mapping[str, Any]) -> None:
    """Restores a `buffer_state` in a buffer of the same kind and size."""
    buffer.pos, buffer.full = state["pos"], state["full"]
    for name, rows in state["arrays"].items():
        getattr(buffer, name)[: len(rows)] = rows


def _plain_attributes(thing: object) -> dict[str, Any]:
    return {name: copy.copy(value) for name, value in vars(thing).items() if isinstance(value, _PLAIN)}


def _counters(model: BaseAlgorithm) -> dict[str, Any]:
    """The numbers and arrays that are not constructor arguments: steps, updates, last observation ..."""
    settings = {*signature(type(model)).parameters, _CLOCK}
    return {name: value for name, value in _plain_attributes(model).items() if name not in settings}


def _leaves(noise: ActionNoise | None) -> Iterator[ActionNoise]:
    """The action noise, or its parts if it is vectorised."""
    if isinstance(noise, VectorizedActionNoise):
        for part in noise.noises:
            yield from _leaves(part)
    elif noise is not None:
        yield noise


def _state_dependent_noise(model: BaseAlgorithm) -> list[StateDependentNoiseDistribution]:
    """The distributions of gSDE; their exploration matrices are not parameters of any network."""
    found = (getattr(module, "action_dist", None) for module in model.policy.modules())
    return [noise for noise in found if isinstance(noise, StateDependentNoiseDistribution)]
