"""The diagnostics: some twenty numbers that mean the same for every task, network and budget.

The hyper-state (Eq. 2) depends on the network and has thousands of numbers. These are few, bounded and
always finite, so an agent can carry what it has learned from run to run and from task to task. `DIAGNOSTICS`
says what each of them is. What it needs of the past, it takes from whole phases: only the position and the
values in force change from one update to the next.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from hyperrl_env.hyper_reward import EnvironmentPhase
from hyperrl_env.numeric.running import Running

ObservationName = Literal["hyper_state", "diagnostics", "both"]

# No diagnostic is further from 0.
LIMIT = 10.0
# "Recent" returns and lengths are running means over this part of the budget, older ones over that.
RECENT, OLDER = 0.05, 0.2
# Added to what may be 0 where its logarithm is taken.
_LEAST_ENT_COEF, _LEAST_DISCOUNTING = 1e-3, 1e-3
_USUAL_KL, _LEAST_KL = 1e-2, 1e-6
# Most agents choose between few values, so at most steps nothing has to be computed.
_remembered = functools.lru_cache(maxsize=1024)


@_remembered
def log_ratio(x: float, start: float) -> float:
    """ln(x / start), at most `LIMIT` from 0; 0 if both are 0.

    Example:
        >>> round(log_ratio(6e-4, 3e-4), 6), log_ratio(0.0, 3e-4), log_ratio(0.0, 0.0)
        (0.693147, -10.0, 0.0)
    """
    if x <= 0 or start <= 0:
        return LIMIT * ((x > 0) - (start > 0))
    return bounded(math.log(x) - math.log(start))


@_remembered
def log_horizon_ratio(x: float, start: float) -> float:
    """How much further a discount x looks ahead than `start`: ln((1 - start + 0.001) / (1 - x + 0.001)).

    Example:
        >>> log_horizon_ratio(0.99, 0.99), round(log_horizon_ratio(0.99, 0.95), 3)
        (0.0, 1.534)
    """
    return log_ratio(max(1 - start, 0) + _LEAST_DISCOUNTING, max(1 - x, 0) + _LEAST_DISCOUNTING)


@_remembered
def log_ratio_from_0(x: float, start: float) -> float:
    """ln((x + 0.001) / (start + 0.001)): of a coefficient that may be 0."""
    return log_ratio(x + _LEAST_ENT_COEF, start + _LEAST_ENT_COEF)


def bounded(x: float, low: float = -LIMIT, high: float = LIMIT) -> float:
    """The number in [low, high] that is nearest to x; 0 if x is NaN."""
    return 0.0 if math.isnan(x) else min(max(x, low), high)


# By hyperparameter: what its value in force is to the task's own at the start of the run.
CHANGES: Mapping[str, Callable[[float, float], float]] = {
    **dict.fromkeys(
        ("learning_rate", "clip_range", "kl_clip", "batch_size", "n_epochs", "n_steps"),
        log_ratio,
    ),
    "ent_coef": log_ratio_from_0,
    **dict.fromkeys(("vf_coef", "max_grad_norm"), log_ratio),
    "gae_lambda": log_horizon_ratio,
    "gamma": log_horizon_ratio,
}


class Diagnostic(NamedTuple):
    """What a number means.

    Attributes:
        meaning: Its formula, in words.
        low: Its smallest value.
        high: Its largest value.
    """

    meaning: str
    low: float = -LIMIT
    high: float = LIMIT


def _change(name: str) -> Diagnostic:
    if CHANGES[name] is log_horizon_ratio:
        return Diagnostic(f"ln((1 - {name} at the start + 0.001) / (1 - {name} in force + 0.001))")
    added = " + 0.001" if CHANGES[name] is log_ratio_from_0 else ""
    return Diagnostic(f"ln(({name} in force{added}) / ({name} at the start{added}))")


DIAGNOSTICS: Mapping[str, Diagnostic] = {
    "progress": Diagnostic("environment steps / budget", 0.0, 1.0),
    "log_budget": Diagnostic("log10(budget in millions of environment steps)"),
    "position": Diagnostic("fraction of the update phase that is done", 0.0, 1.0),
    **{f"log_{name}": _change(name) for name in CHANGES},
    "log_approx_kl": Diagnostic("ln(approx_kl / 0.01), of an approx_kl of at least 1e-6"),
    "clip_fraction": Diagnostic("clip_fraction", 0.0, 1.0),
    "explained_variance": Diagnostic("explained_variance", -1.0, 1.0),
    "entropy": Diagnostic(
        "(entropy - that of the first update phase) / dimensions of the action; with Gaussian actions the "
        "change of the mean log_std"
    ),
    "log_grad_norm": Diagnostic("ln(grad_norm) - mean of ln(grad_norm) over the phases so far"),
    "policy_loss": Diagnostic("policy loss / its root mean square over the phases so far"),
    "log_value_loss": Diagnostic("ln(value_loss) - mean of ln(value_loss) over the phases so far"),
    "recent_return": Diagnostic("(recent mean of R - first R) / S"),
    "return_slope": Diagnostic("(recent mean of R - older mean of R) / S"),
    "log_episode_length": Diagnostic("ln(recent mean of L / first L)"),
}
_INDEX = {name: index for index, name in enumerate(DIAGNOSTICS)}
_VALUES = slice(_INDEX["log_learning_rate"], _INDEX["log_approx_kl"])


class Diagnostics:
    """The diagnostics of one run, fed phase by phase.

    Args:
        defaults: Of every hyperparameter that the algorithm offers, at the start of a run.
        total_env_steps: The budget.
        action_space: Of the inner environment.
    """

    def __init__(
        self, defaults: Mapping[str, float], total_env_steps: int, action_space: gym.Space[Any]
    ) -> None:
        self._defaults = defaults
        self._budget = total_env_steps
        self._action_dimensions = max(math.prod(action_space.shape or ()), 1)
        self._running: dict[str, Running] = {}
        self._first: dict[str, float] = {}
        # Environment steps at the last phase in which an inner episode ended.
        self._env_steps = 0
        self._numbers = np.zeros(len(DIAGNOSTICS), np.float32)
        self._set(log_budget=math.log10(total_env_steps) - 6)
        # The values in force that were asked for last, and what they are to the start's.
        self._values: Mapping[str, float] = {}
        self._changes = np.zeros(len(CHANGES), np.float32)

    @property
    def earlier_returns(self) -> Running:
        """Of the mean return of the inner episodes that ended in each phase so far, where any did."""
        return self._running.get("return", Running())

    def update_phase(self, statistics: Mapping[str, float | None]) -> None:
        """Takes in a finished update phase.

        Args:
            statistics: What `InnerLearner.update_statistics` reported; what is None, or missing, is 0.
        """
        kl, entropy_loss = statistics.get("approx_kl"), statistics.get("entropy_loss")
        policy_loss = statistics.get("policy_loss", statistics.get("policy_gradient_loss"))
        self._set(
            log_approx_kl=0.0 if kl is None else log_ratio(max(kl, _LEAST_KL), _USUAL_KL),
            clip_fraction=statistics.get("clip_fraction") or 0.0,
            explained_variance=statistics.get("explained_variance") or 0.0,
            entropy=0.0 if entropy_loss is None else self._entropy_change(-entropy_loss),
            log_grad_norm=self._log_to_mean("grad_norm", statistics.get("grad_norm")),
            policy_loss=0.0 if policy_loss is None else self._to_root_mean_square(policy_loss),
            log_value_loss=self._log_to_mean("value_loss", statistics.get("value_loss")),
        )

    def environment_phase(self, env_steps: int, phase: EnvironmentPhase) -> None:
        """Takes in an environment phase; one in which no inner episode ended changes the progress only.

        Args:
            env_steps: At its end.
            phase: What it left behind.
        """
        self._set(progress=env_steps / self._budget)
        if not phase.episode_returns:
            return
        mean_return = float(np.mean(phase.episode_returns))
        length = float(np.mean(phase.episode_lengths))
        if not math.isfinite(mean_return):
            # Nobody knows what an episode with a reward that is not finite was worth.
            return
        share = (env_steps - self._env_steps) / self._budget
        self._env_steps = env_steps
        spread = self._add("return", mean_return).spread
        recent = self._add("recent_return", mean_return, share / RECENT).mean
        older = self._add("older_return", mean_return, share / OLDER).mean
        recent_length = self._add("recent_length", length, share / RECENT).mean
        first, first_length = self._kept("return", mean_return), self._kept("length", length)
        self._set(
            recent_return=(recent - first) / spread if spread else 0.0,
            return_slope=(recent - older) / spread if spread else 0.0,
            log_episode_length=log_ratio(recent_length, first_length),
        )

    def numbers(self, position: float, values: Mapping[str, float]) -> NDArray[np.float32]:
        """The present diagnostics.

        Args:
            position: Fraction of the update phase that is done.
            values: In force, of every hyperparameter that the algorithm offers.

        Returns:
            (len(DIAGNOSTICS),), within the bounds of `DIAGNOSTICS`.
        """
        if values != self._values:
            self._values = dict(values)
            self._changes[:] = [
                change(values[name], self._defaults[name]) if name in values else 0.0
                for name, change in CHANGES.items()
            ]
        numbers = self._numbers.copy()
        numbers[_INDEX["position"]] = position
        numbers[_VALUES] = self._changes
        return numbers

    def state_dict(self) -> dict[str, Any]:
        """Everything that the phases so far left behind."""
        return {
            "numbers": self._numbers,
            "running": {name: list(astuple(running)) for name, running in self._running.items()},
            "first": self._first,
            "env_steps": self._env_steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts back what `state_dict` gave.

        Args:
            state: Becomes its own: give a copy of what is to be kept.
        """
        self._numbers = state["numbers"]
        self._running = {name: Running(*fields) for name, fields in state["running"].items()}
        self._first = state["first"]
        self._env_steps = state["env_steps"]

    def _set(self, **numbers: float) -> None:
        for name, number in numbers.items():
            self._numbers[_INDEX[name]] = bounded(number, DIAGNOSTICS[name].low, DIAGNOSTICS[name].high)

    def _add(self, name: str, x: float, weight: float = 0.0) -> Running:
        running = self._running.get(name, Running()).add(x, weight)
        self._running[name] = running
        return running

    def _kept(self, name: str, x: float) -> float:
        """The first number of this name."""
        return self._first.setdefault(name, x)

    def _entropy_change(self, entropy: float) -> float:
        return (entropy - self._kept("entropy", entropy)) / self._action_dimensions

    def _log_to_mean(self, name: str, x: float | None) -> float:
        """ln(x) less its mean over the phases so far, this one included; 0 where x has no logarithm."""
        if x is None or x <= 0:
            return 0.0
        return math.log(x) - self._add(name, math.log(x)).mean

    def _to_root_mean_square(self, policy_loss: float) -> float:
        # Of its absolute value's mean and variance, so that no square overflows.
        seen = self._add("policy_loss", abs(policy_loss))
        scale = math.hypot(seen.mean, seen.spread)
        return policy_loss / scale if scale else 0.0


def observation_space(name: ObservationName, hyper_state_size: int) -> gym.spaces.Box[np.float32]:
    """The space of the observation with this name; "both" is the hyper-state, then the diagnostics."""
    bounds = np.array([(d.low, d.high) for d in DIAGNOSTICS.values()], np.float32)
    low, high = bounds.T if name != "hyper_state" else (np.empty(0, np.float32),) * 2
    size = hyper_state_size if name != "diagnostics" else 0
    endless = np.full(size, np.inf, np.float32)
    return gym.spaces.Box(np.concatenate([-endless, low]), np.concatenate([endless, high]), dtype=np.float32)
