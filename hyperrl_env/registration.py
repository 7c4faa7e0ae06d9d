"""The ids: `HyperRL-{algorithm}-{task}-v0` for every task, `HyperRL-{algorithm}-v0` for the rest."""

from __future__ import annotations

import gymnasium as gym

from hyperrl_env.settings import GENERIC_SETTINGS, SETTINGS

_ENTRY_POINT = "hyperrl_env.env:HyperRLEnv"


def register_envs() -> None:
    """Registers every id with Gymnasium."""
    for algorithm in GENERIC_SETTINGS:
        _register(f"HyperRL-{algorithm}-v0", {"algorithm": algorithm})
    for algorithm, task in SETTINGS:
        _register(f"HyperRL-{algorithm}-{task}-v0", {"algorithm": algorithm, "task": task})


def _register(id_: str, kwargs: dict[str, str]) -> None:
    # Gymnasium's wrappers that watch the order of calls want a reset before all else, and do not know
    # `load`. The environment watches it itself, and its tests check what the checker would.
    gym.register(id_, _ENTRY_POINT, kwargs=kwargs, order_enforce=False, disable_env_checker=True)


def env_ids() -> list[str]:
    """Every id that `register_envs` registers, generic ones first.

    Example:
        >>> "HyperRL-PPO-HalfCheetah-v0" in env_ids()
        True
    """
    return [
        *(f"HyperRL-{algorithm}-v0" for algorithm in GENERIC_SETTINGS),
        *(f"HyperRL-{algorithm}-{task}-v0" for algorithm, task in SETTINGS),
    ]
