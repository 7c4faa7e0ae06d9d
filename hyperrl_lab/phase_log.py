"""The table of a run's phases: diagnostics, hyperparameters, losses, returns (see `hyperrl_lab.results`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hyperrl_env import DIAGNOSTICS
from hyperrl_env.hyper_reward import OWN_HYPER_REWARDS
from hyperrl_env.learners import InnerLearner
from hyperrl_lab.results import ColumnLog


class PhaseLog(ColumnLog):
    """Every phase of a run.

    Args:
        learner: The run's.
    """

    def __init__(self, learner: InnerLearner) -> None:
        self._offered, self._reported = learner.offered, learner.reported
        super().__init__(
            {
                **dict.fromkeys(("env_steps", "phase"), "q"),
                **dict.fromkeys(self._offered, "d"),
                **{f"default.{name}": "d" for name in self._offered},
                **{f"diagnostic.{name}": "f" for name in DIAGNOSTICS},
                **dict.fromkeys(("hyper_reward", *OWN_HYPER_REWARDS), "d"),
                **dict.fromkeys(self._reported, "d"),
                "episodes": "q",
                **dict.fromkeys(("mean_return", "mean_length"), "d"),
                "diverged": "?",
            }
        )
        self._begin_phase()

    def state_dict(self) -> dict[str, Any]:
        """See `ColumnLog.state_dict`."""
        phase = {"means": dict(self._means), "steps": self._steps, "diverged": self._diverged}
        return {**super().state_dict(), "phase": phase}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `ColumnLog.load_state_dict`."""
        super().load_state_dict(state)
        phase = state["phase"]
        self._means, self._steps, self._diverged = dict(phase["means"]), phase["steps"], phase["diverged"]

    def record(self, info: Mapping[str, Any], defaults: Mapping[str, float], reward: float) -> None:
        """Adds a hyper-step, and a row if its phase is over.

        Args:
            info: After the step; or after the reset that started the run, for the row of phase 0.
            defaults: The task's own values at that time.
            reward: The hyper-reward.
        """
        self._steps += 1
        self._diverged |= info["diverged"]
        for name in self._offered:
            # So the mean of equal values is that value, to the bit.
            self._means[name] += (info["hyperparameters"][name] - self._means[name]) / self._steps
        if "phase_stats" not in info:
            return
        stats = info["phase_stats"]
        self.append(
            (
                info["env_steps"],
                info["phase"],
                *self._means.values(),
                *(defaults[name] for name in self._offered),
                *info["diagnostics"].values(),
                reward,
                *(_number(info.get(name)) for name in OWN_HYPER_REWARDS),
                *(_number(stats.get(name)) for name in self._reported),
                len(stats["returns"]),
                _mean(stats["returns"]),
                _mean(stats["lengths"]),
                self._diverged,
            )
        )
        self._begin_phase()

    def _begin_phase(self) -> None:
        self._means = dict.fromkeys(self._offered, 0.0)
        self._steps, self._diverged = 0, False


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _mean(numbers: Sequence[float]) -> float:
    return float(np.mean(numbers)) if numbers else math.nan
