"""Inner learners: policy-gradient algorithms that are driven one policy update at a time."""

from __future__ import annotations

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
from hyperrl_env.learners.fast.acktr import FastACKTRLearner
from hyperrl_env.learners.fast.base import FastA2CLearner, FastPPOLearner
from hyperrl_env.learners.ppo import PPOLearner

# (algorithm, backend): the class that trains it.
LEARNERS: Mapping[tuple[str, str], type[InnerLearner]] = {
    ("PPO", "eager"): PPOLearner,
    ("A2C", "eager"): A2CLearner,
    ("ACKTR", "eager"): ACKTRLearner,
    ("PPO", "fast"): FastPPOLearner,
    ("A2C", "fast"): FastA2CLearner,
    ("ACKTR", "fast"): FastACKTRLearner,
}


def learner_class(algorithm: str, backend: str) -> type[InnerLearner]:
    """The class that trains an algorithm on a backend.

    "auto" is decided when the policy is known: a fast learner trains what it has no closed
    form for as an eager one does.

    Raises:
        ValueError: For an unknown algorithm or backend; the message lists those that exist.
    """
    algorithms = dict.fromkeys(name for name, _ in LEARNERS)
    if algorithm not in algorithms:
        raise ValueError(f"Unknown algorithm {algorithm!r}: give one of {list(algorithms)}.")
    backends = ["auto", *(backend for name, backend in LEARNERS if name == algorithm)]
    if backend not in backends:
        raise ValueError(f"Unknown backend {backend!r} for {algorithm}: give one of {backends}.")
    return LEARNERS[algorithm, "fast" if backend == "auto" else backend]


def default_policy(observation_space: spaces.Space[Any]) -> str:
    """The SB3 policy that fits the observations."""
    if isinstance(observation_space, spaces.Dict):
        return "MultiInputPolicy"
    return "CnnPolicy" if is_image_space(observation_space) else "MlpPolicy"


def make_learner(
    cls: type[InnerLearner], envs: VecEnv, learner_kwargs: Mapping[str, Any], *, seed: int, device: str
) -> InnerLearner:
    """Builds a learner on its inner environments.

    Args:
        cls: What `learner_class` returned.
        envs: The vectorised inner environments.
        learner_kwargs: SB3's constructor arguments; `policy` defaults to the one that fits the
            observations.
        seed: Seeds the weights, the inner environments and the action noise.
        device: Torch device; "auto" is the GPU for a CnnPolicy where there is one, else the CPU.

    Raises:
        ValueError: An argument that the algorithm does not have (the message lists those that
            exist), or a hyperparameter outside its domain.
    """
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
        return cls(env=envs, seed=seed, device=device, **kwargs)
    except (ImportError, ValueError):
        raise
    # SB3 and Torch have all kinds of errors for arguments that they cannot use.
    except Exception as error:
        raise ValueError(
            f"Stable-Baselines3 makes no learner of these learner_kwargs and device {device!r} on "
            f"observations {envs.observation_space} and actions {envs.action_space}: "
            f"{type(error).__name__}: {error}"
        ) from error


__all__ = [
    "ACKTR",
    "LEARNERS",
    "A2CLearner",
    "ACKTRLearner",
    "InnerLearner",
    "PPOLearner",
    "learner_class",
    "make_learner",
]
