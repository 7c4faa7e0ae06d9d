"""SB3 algorithms for a hyper-agent: by name, checked, and made."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from inspect import signature
from typing import Any

import gymnasium as gym
import numpy as np
import stable_baselines3
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq

from agents.base import Observation
from agents.sb3.state import check_action_noise, check_buffer
from hyperrl_env.checks import unknown
from hyperrl_env.search_space import BoundSearchSpace

# Algorithms of these packages override `learn` only to name their logs.
_PLAIN_LEARN = ("stable_baselines3", "sb3_contrib")
# A hyper-agent writes no logs, so these would be ignored.
_LOGGING = ("stats_window_size", "tensorboard_log", "verbose")


class _Spaces(gym.Env[Observation, Any]):
    """Shows an SB3 algorithm the spaces; `SB3Agent` does the stepping."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space = observation_space
        # A space has its own generator, which the algorithm seeds and uses.
        self.action_space = copy.deepcopy(action_space)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape or (), np.float32), {}


def sb3_class(algorithm: str | type[BaseAlgorithm]) -> type[BaseAlgorithm]:
    """An SB3 algorithm by its name in `stable_baselines3`, or the class itself.

    Raises:
        ValueError: An unknown name (the message lists the valid ones), or a class that collects data
            in its own way.
    """
    known = {
        name: cls
        for name, cls in vars(stable_baselines3).items()
        if isinstance(cls, type) and issubclass(cls, OnPolicyAlgorithm | OffPolicyAlgorithm)
    }
    if isinstance(algorithm, str):
        if algorithm not in known:
            raise ValueError(f"{unknown('SB3 algorithm', algorithm, sorted(known))} Classes are valid too.")
        return known[algorithm]
    if not (isinstance(algorithm, type) and issubclass(algorithm, OnPolicyAlgorithm | OffPolicyAlgorithm)):
        raise ValueError(
            f"{algorithm!r} is not an SB3 algorithm. Valid algorithms: {', '.join(sorted(known))}, and "
            "subclasses of SB3's OnPolicyAlgorithm and OffPolicyAlgorithm."
        )
    for method, packages in {"collect_rollouts": ("stable_baselines3",), "learn": _PLAIN_LEARN}.items():
        owner = next(cls for cls in algorithm.__mro__ if method in vars(cls))
        if owner.__module__.partition(".")[0] not in packages:
            raise ValueError(
                f"{algorithm.__name__} cannot be a hyper-agent: {owner.__name__} defines its own {method}(). "
                "A hyper-agent must use that of SB3's OnPolicyAlgorithm or OffPolicyAlgorithm."
            )
    return algorithm


def chosen_space(algorithm: type[BaseAlgorithm], search_space: BoundSearchSpace) -> spaces.Space[Any]:
    """The space that an algorithm chooses from: the box if there is one and it can, else joint bins.

    Raises:
        ValueError: The algorithm can act in neither.
    """
    own, joint = search_space.action_space, spaces.Discrete(search_space.n_actions)
    if isinstance(own, spaces.Box) and _supports(algorithm, own):
        return own
    if not _supports(algorithm, joint):
        raise ValueError(
            f"{algorithm.__name__} cannot choose between {joint.n} joint actions. Algorithms for continuous "
            'actions need an environment with action_mode="box".'
        )
    return joint


def _supports(algorithm: type[BaseAlgorithm], action_space: spaces.Space[Any]) -> bool:
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    try:
        # Only checks the spaces: no networks, no buffers.
        algorithm("MlpPolicy", env=_Spaces(observation_space, action_space), _init_setup_model=False)  # type: ignore[call-arg]
    except AssertionError:
        return False
    return True


def make_algorithm(
    algorithm: type[BaseAlgorithm],
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    seed: int,
    kwargs: Mapping[str, Any],
) -> BaseAlgorithm:
    """An SB3 algorithm on the given spaces, ready for its first step.

    Args:
        algorithm: The class.
        observation_space: The space of observations.
        action_space: The space of actions.
        seed: Seeds the algorithm and the global generators.
        kwargs: SB3's constructor arguments; `policy` defaults to "MlpPolicy". They are copied.

    Raises:
        ValueError: An argument that is unknown, impossible, or has no effect on a hyper-agent.
    """
    name, parameters = algorithm.__name__, signature(algorithm).parameters
    known = set(parameters) - {"env", "seed", "_init_setup_model", *_LOGGING}
    if logging := [key for key in _LOGGING if key in kwargs and kwargs[key] != parameters[key].default]:
        raise ValueError(f"{name} writes no logs as a hyper-agent. Leave out {', '.join(logging)}.")
    for key in kwargs:
        if key not in known and key not in _LOGGING:
            raise ValueError(unknown(f"{name} keyword", key, sorted(known)))
    for key in ("replay_buffer_class", "rollout_buffer_class"):
        if kwargs.get(key) is not None:
            check_buffer(kwargs[key])
    check_action_noise(kwargs.get("action_noise"))
    # SB3 writes to these dictionaries, and action noise has a state, so every agent needs its own.
    arguments = {"policy": "MlpPolicy", **copy.deepcopy(dict(kwargs))}
    try:
        model = algorithm(env=_Spaces(observation_space, action_space), seed=seed, **arguments)
    except AssertionError as error:
        raise ValueError(f"{name} cannot be a hyper-agent here: {error}") from error
    if isinstance(model, OffPolicyAlgorithm):
        assert isinstance(model.train_freq, TrainFreq)
        if model.train_freq.frequency < 1:
            raise ValueError(f"train_freq must be at least 1, not {model.train_freq.frequency}.")
    return model
