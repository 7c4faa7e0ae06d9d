"""Schedules that are straight lines: per hyperparameter a level, and a slope over the progress of a run.

A line is drawn in the *change* u of a value against the task's own, on the scale of `CHANGES`: a log ratio,
for lambda that of the horizons. So a line means the same on every task, and 0 everywhere is the task's own
training. At the progress p, in [0, 1],

    u(p) = level + slope * (p - 1/2)

is reached, where u = `CHANGES[name](value, own value at that time)`.
"""

from __future__ import annotations

import json
import math
import zlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.base import HyperAgent, Observation
from agents.continuous import limits
from agents.values import action_of, check_continuous, check_handled
from hyperrl_env import DEFINITIONS, Hyperparameter, HyperRLEnv
from hyperrl_env.checks import check_text, unknown
from hyperrl_env.diagnostics import CHANGES, log_ratio
from hyperrl_env.inner_run import InnerRunConfig
from hyperrl_env.saving.identity import as_plain_values

Floats = NDArray[np.float64]


class Range(NamedTuple):
    """Which changes lines may reach, and the search space that offers them.

    Attributes:
        low: The smallest change.
        high: The largest.
        offered: Arguments of a `hyperrl_env.Hyperparameter`.
    """

    low: float
    high: float
    offered: Mapping[str, Any]


def _multiples(least: float, most: float) -> Range:
    offered = {"multipliers": [least, 1.0, most], "scale": "log"}
    return Range(math.log(least), math.log(most), offered)


RANGES: Mapping[str, Range] = {
    "learning_rate": _multiples(1 / 8, 8.0),
    "clip_range": _multiples(1 / 4, 4.0),
    "kl_clip": _multiples(1 / 4, 4.0),
    "gae_lambda": Range(-1.5, 1.5, {"low": 0.0, "high": 1.0}),
    # The standard bins are those that fit into the task's rollout.
    "batch_size": Range(-math.log(2.0), math.log(2.0), {}),
    "n_epochs": _multiples(1 / 5, 2.0),
    "n_steps": _multiples(1 / 4, 8.0),
    "vf_coef": _multiples(1 / 4, 4.0),
}
# What PPO's lines are drawn in.
HYPERPARAMETERS = ("learning_rate", "clip_range", "gae_lambda", "batch_size", "n_epochs")


class Line(NamedTuple):
    """One hyperparameter's schedule.

    Attributes:
        level: The change in the middle of the run.
        slope: How much the change grows from the start of the run to its end.
    """

    level: float
    slope: float

    def change(self, progress: float) -> float:
        """u(p) at a progress in [0, 1].

        Example:
            >>> [Line(1.0, 0.5).change(progress) for progress in (0.0, 0.5, 1.0)]
            [0.75, 1.0, 1.25]
        """
        return self.level + self.slope * (progress - 0.5)


def value(name: str, change: float, own: float) -> float:
    """The value that a change means; the inverse of `CHANGES[name]`.

    Args:
        name: One of `RANGES`.
        change: u.
        own: The task's own value at that time.

    Example:
        >>> round(value("learning_rate", math.log(2.0), 3e-4), 6)
        0.0006
        >>> round(value("gae_lambda", CHANGES["gae_lambda"](0.99, 0.95), 0.95), 6)
        0.99
    """
    if CHANGES[name] is log_ratio:
        return own * math.exp(change)
    # ln((1 - own + 0.001) / (1 - value + 0.001)) = u
    return 1.001 - (1.001 - own) * math.exp(-change)


def fitting(names: Sequence[str], lines: ArrayLike) -> Floats:
    """The lines nearest to given ones that stay in `RANGES` from start to end.

    The level is clipped first, then the slope.

    Args:
        names: The hyperparameters.
        lines: Level and slope of each, (..., hyperparameters, 2).

    Returns:
        Lines, of the same shape.

    Example:
        >>> fitting(["batch_size"], [[0.0, 9.0]]).round(3).tolist()
        [[0.0, 1.386]]
    """
    low, high = np.array([RANGES[name][:2] for name in names]).T
    given = np.asarray(lines, np.float64)
    level = given[..., 0].clip(low, high)
    steepest = 2.0 * np.minimum(level - low, high - level)
    return np.stack([level, given[..., 1].clip(-steepest, steepest)], axis=-1)


def drawn(names: Sequence[str], n: int, rng: np.random.Generator) -> Floats:
    """Random lines in `RANGES`: levels uniform, then slopes uniform among those that stay there.

    Args:
        names: The hyperparameters.
        n: How many.
        rng: Draws them.

    Returns:
        (n, hyperparameters, 2).
    """
    low, high = np.array([RANGES[name][:2] for name in names]).T
    level, slope = rng.random((2, n, len(names)))
    level = low + level * (high - low)
    slope = (2.0 * slope - 1.0) * 2.0 * np.minimum(level - low, high - level)
    return np.stack([level, slope], axis=-1)


def fitted(progress: Floats, changes: Floats) -> Line:
    """The line nearest to the changes of a run, by least squares.

    Args:
        progress: At each decision, in [0, 1], (phases,).
        changes: In force after it, (phases,); NaN where the task's own value is 0.

    Returns:
        The line; of slope 0 if there is a single change, and of level 0 too if there is none.

    Example:
        >>> p = np.linspace(0.1, 1.0, 10)
        >>> [round(x, 6) for x in fitted(p, 1.0 + 0.5 * (p - 0.5))]
        [1.0, 0.5]
    """
    known = np.isfinite(changes)
    p, u = progress[known] - 0.5, changes[known]
    if not len(u):
        return Line(0.0, 0.0)
    spread = p - p.mean()
    slope = float(spread @ u / (spread @ spread)) if np.ptp(p) else 0.0
    return Line(float(u.mean() - slope * p.mean()), slope)


def check_names(names: object) -> list[str]:
    """The names of hyperparameters that lines can be drawn in, checked.

    Raises:
        ValueError: None, not a list, one twice, or one that is not in `RANGES`; the message lists those.
    """
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise ValueError(f"hyperparameters must be a list of names, not {names!r}.")
    for name in names:
        check_text("hyperparameters", name)
        if name not in RANGES:
            raise ValueError(unknown("hyperparameter", name, RANGES))
    if len(set(names)) < len(names):
        raise ValueError(f"hyperparameters must name each once, not {', '.join(names)}.")
    return list(names)


def env_kwargs(names: Sequence[str]) -> dict[str, Any]:
    """The environment's keywords for agents that play lines."""
    space = {name: dict(RANGES[name].offered) for name in names}
    return {"decision": "phase", "action_mode": "box", "search_space": space}


class LineAgent(HyperAgent):
    """Plays lines that are chosen before the first decision of a run.

    The agent's generator is seeded with the task, its starting settings and the budget too: the runs of a
    study that share a seed do not share what is drawn.

    Args:
        env: A Hyper-RL environment with `action_mode="box"`, whose search space holds just these
            hyperparameters, as `env_kwargs` has it.
        seed: See `HyperAgent`.
        names: The hyperparameters.

    Attributes:
        names: The hyperparameters.
        lines: Level and slope of each in the present run, (hyperparameters, 2); before the first decision
            those of the task's own values, 0.
    """

    name = ""

    def __init__(self, env: gym.Env[Any, Any], seed: int, names: Sequence[str]) -> None:
        super().__init__(env, seed)
        check_handled(self.name, self.env, names)
        check_continuous(self.name, self.env)
        _check_offered(self.name, self.env)
        self.rng = np.random.default_rng([seed, _number_of(self.env)])
        self.names = tuple(names)
        self.lines: Floats = np.zeros((len(names), 2))

    @abstractmethod
    def choose(self) -> Floats:
        """The lines of the run that begins, (hyperparameters, 2)."""

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        if info["phase"] == 0 and info["update_step"] == 0:
            self.lines = self.choose()
        progress = min(info["env_steps"] / self.env.total_env_steps, 1.0)
        own, allowed = self.env.learner.default_values(), limits(self.env)
        values = {}
        for name, line in zip(self.names, self.lines, strict=True):
            if not line.any():
                continue  # the task's own value, to the bit
            low, high = allowed[name]
            wanted = min(max(value(name, Line(*line).change(progress), own[name]), low), high)
            values[name] = round(wanted) if DEFINITIONS[name].integer else wanted
        return action_of(self.env, values)

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        return {**super().state_dict(), "lines": self.lines.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self.lines = state["lines"].copy()


def _check_offered(agent: str, env: HyperRLEnv) -> None:
    """In a narrower range another schedule would be played than the one that was chosen."""
    for offered in env.search_space.hyperparameters:
        if offered != Hyperparameter(offered.name, **RANGES[offered.name].offered):
            raise ValueError(
                f"Agent {agent!r} plays schedules in ranges of its own, and this search space offers "
                f"{offered.name} in another one. Leave search_space out: agents.env_kwargs({agent!r}) has it."
            )


def _number_of(env: HyperRLEnv) -> int:
    """A number for what is trained, from which settings, for how long; the same in every process."""
    run = env.inner_run_config
    what: list[Any] = [run.algorithm, run.n_envs, run.total_env_steps]
    # A model of the user's own has no name to go by.
    if isinstance(run, InnerRunConfig):
        what += [run.env, run.learner_kwargs, run.normalize]
    return zlib.crc32(json.dumps(as_plain_values(what)).encode())
