"""Inner learners: policy-gradient algorithms that are driven one policy update at a time."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from inspect import signature
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from hyperrl_env.checks import check_learner_argument, unknown
from hyperrl_env.hyperparameters import DEFINITIONS, definition
from hyperrl_env.learners.a2c import A2CLearner
from hyperrl_env.learners.acktr.algorithm import ACKTR, ACKTRLearner
from hyperrl_env.learners.base import InnerLearner
from hyperrl_env.learners.fast.a2c import FastA2C
from hyperrl_env.learners.fast.acktr import FastACKTR
from hyperrl_env.learners.fast.base import FastArithmetic
from hyperrl_env.learners.fast.ppo import FastPPO
from hyperrl_env.learners.ppo import PPOLearner
from hyperrl_env.learners.user_model import (
    LearnCall,
    TrainingStopped,
    UserModelCollector,
    algorithm_of,
    looks_at_rollouts,
)

LEARNERS: Mapping[str, type[InnerLearner]] = {"PPO": PPOLearner, "A2C": A2CLearner, "ACKTR": ACKTRLearner}
# What can do a learner's rollouts and updates in the place of SB3's arithmetic.
FAST: Mapping[str, type[FastArithmetic[Any]]] = {"PPO": FastPPO, "A2C": FastA2C, "ACKTR": FastACKTR}
# "eager": SB3's arithmetic, to the bit. "fast": the fast one wherever the learner has one. "auto" is "fast".
BACKENDS = ("auto", "eager", "fast")


def learner_class(algorithm: str) -> type[InnerLearner]:
    """The class that trains an algorithm.

    Raises:
        ValueError: For an unknown algorithm; the message lists those that exist.
    """
    if algorithm not in LEARNERS:
        raise ValueError(unknown("algorithm", algorithm, LEARNERS))
    return LEARNERS[algorithm]


def check_backend(backend: str) -> None:
    """Raises ValueError for an unknown backend; the message lists those that exist."""
    if backend not in BACKENDS:
        raise ValueError(f"Unknown backend {backend!r}: give one of {list(BACKENDS)}.")


def default_policy(observation_space: spaces.Space[Any]) -> str:
    """The SB3 policy that fits the observations."""
    if isinstance(observation_space, spaces.Dict):
        return "MultiInputPolicy"
    return "CnnPolicy" if is_image_space(observation_space) else "MlpPolicy"


def make_learner(
    algorithm: str,
    backend: str,
    envs: VecEnv,
    learner_kwargs: Mapping[str, Any],
    *,
    seed: int,
    device: str,
) -> InnerLearner:
    """Builds a learner on its inner environments.

    Args:
        algorithm: Of `LEARNERS`.
        backend: Of `BACKENDS`.
        envs: The vectorised inner environments.
        learner_kwargs: SB3's constructor arguments; `policy` defaults to the one that fits the
            observations.
        seed: Seeds the weights, the inner environments and the action noise.
        device: Torch device; "auto" is the GPU for a CnnPolicy where there is one, else the CPU.

    Raises:
        ValueError: An unknown algorithm or backend, an argument that the algorithm does not have (the
            message lists those that exist), or a hyperparameter outside its domain.
    """
    check_backend(backend)
    cls = learner_class(algorithm)
    parameters = signature(cls).parameters
    known = set(parameters) - {"env", "seed", "device", "_init_setup_model"}
    for name, value in learner_kwargs.items():
        if name not in known:
            raise ValueError(unknown("learner_kwargs keyword", name, sorted(known)))
        if name in DEFINITIONS and not callable(value):
            definition(name).check(name, value)
        check_learner_argument(name, value, parameters[name].default)
    kwargs = {"policy": default_policy(envs.observation_space), **learner_kwargs}
    if kwargs.get("policy_kwargs"):
        # SB3's A2C writes its optimiser into it.
        kwargs["policy_kwargs"] = dict(kwargs["policy_kwargs"])
    if device == "auto" and kwargs["policy"] != "CnnPolicy":
        device = "cpu"
    try:
        learner = cls(env=envs, seed=seed, device=device, **kwargs)
    except (ImportError, ValueError):
        raise
    # SB3 and Torch have all kinds of errors for arguments that they cannot use.
    except Exception as error:
        raise ValueError(
            f"Stable-Baselines3 makes no learner of these learner_kwargs and device {device!r} on "
            f"observations {envs.observation_space} and actions {envs.action_space}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if backend != "eager":
        learner.fast = FAST[algorithm](learner)
    return learner


def learner_on(call: LearnCall, backend: str) -> InnerLearner:
    """A learner that trains a model of the user's: another class's view of the same attributes.

    Args:
        call: The model, and how its `learn` would be called.
        backend: Of `BACKENDS`.

    Raises:
        ValueError: A model that cannot be trained here, or an unknown backend.
    """
    check_backend(backend)
    algorithm = algorithm_of(call.model)
    cls = LEARNERS[algorithm]
    learner = cls.__new__(cls)
    learner.__dict__ = call.model.__dict__
    learner.set_up(UserModelCollector(learner, call))
    if backend != "eager":
        learner.fast = FAST[algorithm](learner)
        if looks_at_rollouts(call.callback) and learner.fast.link() and learner.fast.can_collect():
            warnings.warn(
                "A callback looks at the rollouts step by step, so they are collected as Stable-Baselines3 "
                "does it. Updates stay fast. (backend='eager' does not warn.)",
                # Where the script calls `learn`.
                stacklevel=6,
            )
    return learner


__all__ = [
    "ACKTR",
    "BACKENDS",
    "FAST",
    "LEARNERS",
    "A2CLearner",
    "ACKTRLearner",
    "InnerLearner",
    "LearnCall",
    "PPOLearner",
    "TrainingStopped",
    "algorithm_of",
    "check_backend",
    "learner_class",
    "learner_on",
    "make_learner",
]
