"""What agents share that choose values themselves: which they can handle, and how to set them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from hyperrl_env import HyperRLEnv

# What the task gives a hyperparameter at its start stands for the task's schedule; a value that is to stay
# there lies beside it, by this fraction: more than float32 actions round.
_BESIDE = 1e-5


def check_handled(agent: str, env: HyperRLEnv, handled: Collection[str]) -> None:
    """Checks that the search space holds just what a method chooses.

    Args:
        agent: The method's name.
        env: The environment, unwrapped.
        handled: The hyperparameters that the method chooses.

    Raises:
        ValueError: The search space lacks one of them, or holds another.

    Example:
        >>> import gymnasium as gym
        >>> env = gym.make("HyperRL-PPO-CartPole-v0", search_space=["learning_rate", "gamma"])
        >>> check_handled("lrrl", env.unwrapped, ["learning_rate"])
        Traceback (most recent call last):
        ValueError: Agent 'lrrl' can handle learning_rate, and this search space has gamma besides. \
Give search_space={"learning_rate": ...}.
    """
    names = env.search_space.names
    if besides := [name for name in names if name not in handled]:
        what = f"has {', '.join(besides)} besides"
    elif missing := [name for name in handled if name not in names]:
        what = f"lacks {', '.join(missing)}"
    else:
        return
    spaces = ", ".join(f'"{name}": ...' for name in handled)
    raise ValueError(
        f"Agent {agent!r} can handle {', '.join(handled)}, and this search space {what}. "
        f"Give search_space={{{spaces}}}."
    )


def check_continuous(agent: str, env: HyperRLEnv) -> None:
    """Checks that a hyperparameter may take any value of its range, which rules that compute one need.

    Raises:
        ValueError: The action mode is another than "box".
    """
    if env.search_space.action_mode != "box":
        raise ValueError(
            f"Agent {agent!r} sets values between the bins: it needs action_mode='box', not "
            f"{env.search_space.action_mode!r}."
        )


def own_values(env: HyperRLEnv) -> dict[str, float]:
    """The task's own value, at the start of a run, of every hyperparameter of the search space."""
    return env.search_space.values(env.search_space.default_action)


def action_of(env: HyperRLEnv, values: Mapping[str, float]) -> Any:
    """The "box" action that sets values, whatever schedule the task has; others keep the task's own.

    Args:
        env: The environment, unwrapped, during a run.
        values: Value by name, absolute.

    Raises:
        ValueError: A value that is not offered.
    """
    own, now = own_values(env), env.learner.default_values()
    return env.search_space.action(
        {
            name: _beside(env, name, value)
            if _is_near(value, own[name]) and own[name] != now[name]
            else value
            for name, value in values.items()
        },
        now,
    )


def _is_near(value: float, own: float) -> bool:
    """Whether an action could not tell the two apart."""
    return math.isclose(value, own, rel_tol=_BESIDE / 10)


def _beside(env: HyperRLEnv, name: str, value: float) -> float:
    inwards = 1.0 if value == env.search_space.least(name) else -1.0
    return value * (1.0 + inwards * _BESIDE)
