"""The ids: `HyperRL-{algorithm}-{task}-v0` for every task, `HyperRL-{algorithm}-v0` for the rest."""

from __future__ import annotations

import gymnasium as gym

from hyperrl_env.tasks import GENERIC_SETTINGS, SETTINGS

_ENTRY_POINT = "hyperrl_env.env:HyperRLEnv"


def register_envs() -> None:
    """Registers every id with Gymnasium."""
    for algorithm in GENERIC_SETTINGS:
        gym.register(f"HyperRL-{algorithm}-v0", _ENTRY_POINT, kwargs={"algorithm": algorithm})
    for algorithm, task in SETTINGS:
        kwargs = {"algorithm": algorithm, "task": task}
        gym.register(f"HyperRL-{algorithm}-{task}-v0", _ENTRY_POINT, kwargs=kwargs)


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
