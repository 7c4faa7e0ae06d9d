"""Ids of Hyper-RL environments, as users type them."""

from __future__ import annotations

import re
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from hyperrl_env import TASKS, HyperRLEnv, env_ids
from hyperrl_env.checks import suggestion
from hyperrl_lab.importing import load_module

# Ids share a long prefix.
_ALIKE = 0.78


def resolve_id(name: str) -> str:
    """The full id of a name: with its version, by default the latest.

    Args:
        name: As for `gymnasium.make`: `id`, or `module:id`, which imports the module first.

    Raises:
        ValueError: An unknown id, or not that of a Hyper-RL environment; the message suggests the right one.
    """
    module, colon, _ = name.rpartition(":")
    return module + colon + get_spec(name).id


def id_kwargs(name: str) -> dict[str, Any]:
    """The constructor keywords that an id sets: algorithm, task.

    Raises:
        ValueError: As for `resolve_id`.
    """
    return dict(get_spec(name).kwargs)


def get_spec(name: str) -> gym.envs.registration.EnvSpec:
    """The specification that Gymnasium has registered for an id.

    Raises:
        ValueError: As for `resolve_id`.
    """
    module, _, id_ = name.rpartition(":")
    if module:
        load_module(module)
    # Gymnasium resolves unversioned names in `make`, not when it looks up an id.
    versions = [spec for known, spec in gym.registry.items() if known.rpartition("-v")[0] == id_]
    spec = gym.registry.get(id_) or max(versions, key=lambda spec: spec.version or 0, default=None)
    if spec is None:
        raise ValueError(f"Unknown id {name!r}.{_suggestion(id_)} `hyperrl list ids` shows all.")
    creator: Any = spec.entry_point
    if isinstance(creator, str):
        creator = load_env_creator(creator)
    if not (isinstance(creator, type) and issubclass(creator, HyperRLEnv)):
        module_and_id = f"{module}:{spec.id}" if module else spec.id
        tuned = f"HyperRL-PPO-{spec.name}-v0 (tuned settings) or " if spec.name in TASKS else ""
        raise ValueError(
            f"{name!r} is not a Hyper-RL environment. To train on it, use {tuned}"
            f"HyperRL-PPO-v0 --set env_id={module_and_id}."
        )
    return spec


def _suggestion(id_: str) -> str:
    """A suggestion of ids whose name, or task, is similar."""
    aliases = {known.removesuffix("-v0"): known for known in env_ids()}
    aliases |= {name: f"HyperRL-PPO-{name}-v0" for name in TASKS}
    return suggestion(re.sub(r"-v\d+$", "", id_), (), aliases, cutoff=_ALIKE)
