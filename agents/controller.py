r"""A small policy from diagnostics to hyperparameters, whose weights many runs have taught.

Let d be the change of a value against the task's own at the start of the run, on the scale of
`hyperrl_env.diagnostics.CHANGES`: a log ratio, of gae_lambda that of how far it looks ahead. Before
the update phase t,

    d_t = (1 + w_own) d0_t + sum_i w_i x_i + s_t                                        (level)
    s_t = s_{t-1} + clip(GAIN sum_j v_j y_j, -MAX_STEP, MAX_STEP),  s_0 = 0             (step)

where d0_t is the task's own schedule, x are 1, progress, log_budget and recent_return, and y are 1 and what
the last update phase measured. Every value stays within the range that is offered.

All weights 0 are the task's own settings. The KL rule in its proportional form, rate <- rate (D / KL)^g, is
one point of the space: `kl_rule`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.adaptive_kl import FACTOR
from agents.base import HyperAgent, Observation
from agents.continuous import limits
from agents.controller_weights import (
    ALGORITHM,
    FEATURES,
    HYPERPARAMETERS,
    LEVEL,
    STEP,
    ControllerWeights,
    read_weights,
)
from agents.lines import value
from agents.values import action_of, check_continuous, check_handled, own_values
from hyperrl_env import DIAGNOSTICS
from hyperrl_env.checks import check_bool
from hyperrl_env.diagnostics import CHANGES, bounded
from hyperrl_env.hyperparameters import definition

Floats = NDArray[np.float64]
# So that weights of about 1 matter for steps, of which a run has some hundred, as they do for levels.
GAIN = 0.1
# A value changes from phase to phase by its steps at most as much as in `agents.adaptive_kl`.
MAX_STEP = math.log(FACTOR)
_USUAL_KL = 0.01
# What is known beforehand of every phase; all other features are measured.
_KNOWN = ("bias", "progress", "log_budget", "own_schedule")
_MEASURED = tuple(name for name in dict.fromkeys((*LEVEL, *STEP)) if name not in _KNOWN)
_OWN_SCHEDULE = LEVEL.index("own_schedule")


# What the search space offers.
_OFFERED: Mapping[str, Mapping[str, float]] = {
    "learning_rate": {"low": 1e-6, "high": 1e-2},
    "clip_range": {"low": 0.01, "high": 1.0},
    "gae_lambda": {"low": 0.5, "high": 1.0},
    # Its standard multiples: they fit every rollout.
    "batch_size": {},
    "n_epochs": {"low": 1, "high": 20},
}


def stepped(offset: float, weights: Floats, features: Floats, low: float, high: float) -> float:
    """s_t from s_{t-1}: a step of bounded length, within bounds.

    Args:
        offset: s_{t-1}.
        weights: v, (len(STEP),).
        features: y, (len(STEP),).
        low: Least s_t.
        high: Largest s_t.

    Example:
        >>> weights, features = np.array([1.0, 0, 0, 0, 0, 0]), np.ones(6)
        >>> stepped(0.5, weights, features, low=-2.0, high=2.0)
        0.6
        >>> round(stepped(0.5, -100 * weights, features, low=-2.0, high=2.0), 4)
        0.0945
    """
    step = bounded(GAIN * float(weights @ features), -MAX_STEP, MAX_STEP)
    return bounded(offset + step, low, high)


def kl_rule(target: float = 0.01, gain: float = 0.5) -> ControllerWeights:
    """The weights that keep the KL divergence near a target by the learning rate alone.

    They set rate <- rate (target / KL)^gain after every update phase, from the task's own rate at the start,
    whatever schedule the task has.

    Args:
        target: The KL that is aimed at.
        gain: Above 0.
    """
    table = np.zeros((len(HYPERPARAMETERS), len(FEATURES)))
    for feature, weight in {
        "level.own_schedule": -1.0,
        "step.bias": gain * math.log(target / _USUAL_KL) / GAIN,
        "step.log_approx_kl": -gain / GAIN,
    }.items():
        table[HYPERPARAMETERS.index("learning_rate"), FEATURES.index(feature)] = weight
    return ControllerWeights(tuple(map(float, table.ravel())))


class ControllerAgent(HyperAgent):
    """Sets five hyperparameters of PPO per update phase, linearly in the diagnostics.

    It learns nothing during a run: `hyperrl evolve` trains its weights over whole runs.

    Args:
        env: A Hyper-RL environment of PPO with `action_mode="box"` and the search space that `env_kwargs`
            gives.
        seed: Draws the phases that a shuffled controller looks at; nothing else is drawn.
        weights: The path of a file that `hyperrl evolve` wrote, its content, or its numbers. None: those that
            ship with the package.
        shuffled: A control: in the place of what the last phase measured, look at what a random earlier
            phase of the run did. The numbers are those of the run, and so is what is known beforehand
            (progress, budget, the task's schedule); only the feedback is gone.

    Attributes:
        weights: The weights.
        offsets: s_t of every hyperparameter.
        values: The values in force that are not the task's own.

    Raises:
        ValueError: Weights that do not fit, another algorithm than PPO, or another search space.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        seed: int = 0,
        *,
        weights: str | Sequence[float] | Mapping[str, Any] | None = None,
        shuffled: bool = False,
    ) -> None:
        super().__init__(env, seed)
        self.check_algorithm(self.env.inner_run_config.algorithm)
        check_handled("controller", self.env, HYPERPARAMETERS)
        check_continuous("controller", self.env)
        check_bool("shuffled", shuffled)
        self.weights = read_weights(weights)
        table = self.weights.table
        self._level, self._step = table[:, : len(LEVEL)], table[:, len(LEVEL) :]
        self._shuffled = shuffled
        self._begin()

    @classmethod
    def check_algorithm(cls, algorithm: str, /, **kwargs: Any) -> None:
        """See `HyperAgent.check_algorithm`: PPO's alone."""
        if algorithm != ALGORITHM:
            raise ValueError(f"Agent 'controller' can handle {ALGORITHM}, not {algorithm}.")

    @classmethod
    def env_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: the diagnostics, decisions per phase, and wide ranges."""
        return {
            "observation": "diagnostics",
            "decision": "phase",
            "action_mode": "box",
            "search_space": {name: dict(offered) for name, offered in _OFFERED.items()},
        }

    @classmethod
    def recorded_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.recorded_kwargs`: the content of the file of weights in the place of its path."""
        given = kwargs.get("weights")
        if given is None or isinstance(given, str):
            kwargs["weights"] = read_weights(given).to_plain()
        return kwargs

    def _begin(self) -> None:
        """Begins a run."""
        self.offsets = dict.fromkeys(HYPERPARAMETERS, 0.0)
        self.values: dict[str, float] = {}
        # What every update phase so far measured, for a shuffled controller.
        self._past: list[list[float]] = []

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        if info["update_step"] == 0:
            if info["phase"] == 0:
                self._begin()
            self._decide(measured=info["phase"] > 0)
        return action_of(self.env, self.values)

    def _decide(self, measured: bool) -> None:
        """Chooses the values of an update phase; before the first one, nothing has been measured."""
        features = self._features(measured)
        start, now, ranges = own_values(self.env), self.env.learner.default_values(), limits(self.env)
        self.values = {}
        for name, level, step in zip(HYPERPARAMETERS, self._level, self._step, strict=True):
            change, own, (low, high) = CHANGES[name], start[name], ranges[name]
            lowest, highest = change(low, own), change(high, own)
            if measured:
                y = np.array([features[feature] for feature in STEP])
                self.offsets[name] = stepped(self.offsets[name], step, y, lowest, highest)
            schedule = change(now[name], own)
            x = np.array([schedule if i == _OWN_SCHEDULE else features[f] for i, f in enumerate(LEVEL)])
            # Values that are the task's own are left out, so that they are so to the bit.
            if moved := float(level @ x) + self.offsets[name]:
                wanted = value(name, bounded(schedule + moved, lowest, highest), own)
                # Again, since the way there and back rounds.
                wanted = bounded(wanted, low, high)
                self.values[name] = round(wanted) if definition(name).integer else wanted

    def _features(self, measured: bool) -> dict[str, float]:
        """The features by name, but for the task's own schedule."""
        numbers = dict(zip(DIAGNOSTICS, map(float, self.env.diagnostics()), strict=True))
        if self._shuffled and measured:
            self._past.append([numbers[name] for name in _MEASURED])
            numbers |= dict(zip(_MEASURED, self._past[self.rng.integers(len(self._past))], strict=True))
        return {**numbers, "bias": 1.0}

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        own = {"offsets": dict(self.offsets), "values": dict(self.values)}
        return {**super().state_dict(), **own, "past": [list(row) for row in self._past]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self.offsets, self.values = dict(state["offsets"]), dict(state["values"])
        self._past = [list(row) for row in state["past"]]
