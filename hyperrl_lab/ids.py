"""Ids of Hyper-RL environments, as users type them."""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from hyperrl_env import TASKS, HyperRLEnv, env_ids


def resolve_id(name: str) -> str:
    """The full id that a name stands for: with its version, the latest where none is given.

    Args:
        name: As for `gymnasium.make`: `id` or `module:id`, which imports the module first.

    Raises:
        ValueError: No such id, or not that of a Hyper-RL; the message says which ones come close.
    """
    module, colon, _ = name.rpartition(":")
    return module + colon + get_spec(name).id


def id_kwargs(name: str) -> dict[str, Any]:
    """The constructor keywords that an id itself gives: algorithm, task.

    Raises:
        ValueError: As for `resolve_id`.
    """
    return dict(get_spec(name).kwargs)


def get_spec(name: str) -> gym.envs.registration.EnvSpec:
    """What Gymnasium knows of an id.

    Raises:
        ValueError: As for `resolve_id`.
    """
    module, _, id_ = name.rpartition(":")
    if module:
        try:
            import_module(module)
        except ImportError as error:
            raise ValueError(f"{name!r}: {error}.") from error
    # Gymnasium resolves unversioned names when it makes an environment, not when it looks one up.
    versions = [spec for known, spec in gym.registry.items() if known.rpartition("-v")[0] == id_]
    spec = gym.registry.get(id_) or max(versions, key=lambda spec: spec.version or 0, default=None)
    if spec is None:
        raise ValueError(f"There is no {name!r}: {_hint(name)}")
    creator: Any = spec.entry_point
    if isinstance(creator, str):
        creator = load_env_creator(creator)
    if not (isinstance(creator, type) and issubclass(creator, HyperRLEnv)):
        raise ValueError(f"{name!r} is no Hyper-RL, but may be the inner environment of one: {_hint(name)}")
    return spec


def _hint(name: str) -> str:
    ids = env_ids()
    by_name = {id_.rpartition("-v")[0].lower(): id_ for id_ in ids}
    close = get_close_matches(re.sub(r"-v\d+$", "", name).lower(), by_name, n=3, cutoff=0.78)
    if close:
        return f"did you mean {' or '.join(by_name[match] for match in close)}? `hyperrl list` shows all."
    atari = {f"-{name}-v0" for name, task in TASKS.items() if task.family == "atari"}
    others = [id_ for id_ in ids if not id_.endswith(tuple(atari))]
    return f"there are {', '.join(others)}, and the same for every Atari game (`hyperrl list`)."
