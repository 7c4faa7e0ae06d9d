"""Ray Tune's PBT and PB2 for populations: with generators of their own, within ranges, and recorded.

PBT is Jaderberg et al., "Population Based Training of Neural Networks", 2017; PB2 Parker-Holder et al.,
"Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits", NeurIPS 2020. What is
exploited, and what is tried next, is Ray's own code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining
from ray.tune.schedulers.pb2 import PB2

from hyperrl_env.numeric.random_state import RandomState
from hyperrl_lab.search.ranges import Range

# In a trial's configuration, beside the hyperparameters.
MEMBER = "member"
# All members are compared when all have trained for one interval more, so that results do not depend on which
# is faster.
_TIMING = {"time_attr": "training_iteration", "perturbation_interval": 1, "synch": True}


class _Recorded:
    """What both schedulers share: global generators swapped in, and the population's course recorded.

    Attributes:
        course: One entry per member and interval, in the order of the results: `member`, `env_steps` at its
            end, `score`, `hyperparameters` in force, and `copied_from`, the member that was copied before
            it, or None.
    """

    def __init__(self, choices: Mapping[str, Range], seed: int, **settings: Any) -> None:
        super().__init__(**settings, **_TIMING, custom_explore_fn=clamped(choices))  # type: ignore[call-arg]
        self._names, self._random = tuple(choices), RandomState(seed)
        self._members: list[Any] = []
        self._copied_from: dict[int, int] = {}
        self.course: list[dict[str, Any]] = []

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        # A member that starts again after a failure is added again.
        if trial not in self._members:
            self._members.append(trial)
        super().on_trial_add(tune_controller, trial)  # type: ignore[misc]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> Any:
        self._record(trial, result)
        with self._random.swapped_in():
            decision = super().on_trial_result(tune_controller, trial, result)  # type: ignore[misc]
        for member, other in enumerate(self._members):
            # Whoever copies another member takes all of its configuration, its number too.
            if other.config[MEMBER] != member:
                self._copied_from[member] = other.config[MEMBER]
                other.set_config({**other.config, MEMBER: member})
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self._record(trial, result)
        super().on_trial_complete(tune_controller, trial, result)  # type: ignore[misc]

    def _record(self, trial: Any, result: Mapping[str, Any]) -> None:
        member = trial.config[MEMBER]
        self.course.append(
            {
                "member": member,
                "env_steps": result["env_steps"],
                "score": None if math.isnan(result["score"]) else result["score"],
                "hyperparameters": {name: trial.config[name] for name in self._names},
                "copied_from": self._copied_from.pop(member, None),
            }
        )


class RecordedPBT(_Recorded, PopulationBasedTraining):  # type: ignore[misc]
    """Population based training.

    Args:
        choices: The range of each hyperparameter.
        seed: Seeds all choices.
        **settings: Ray's own: `quantile_fraction`, `resample_probability`, `perturbation_factors`.
    """

    def __init__(self, choices: Mapping[str, Range], seed: int, **settings: Any) -> None:
        mutations = {name: domain(range_) for name, range_ in choices.items()}
        super().__init__(choices, seed, hyperparam_mutations=mutations, **settings)


class RecordedPB2(_Recorded, PB2):  # type: ignore[misc]
    """Population based bandits.

    Args:
        choices: The range of each hyperparameter.
        seed: Seeds all choices.
        **settings: Ray's own: `quantile_fraction`.
    """

    def __init__(self, choices: Mapping[str, Range], seed: int, **settings: Any) -> None:
        bounds = {name: single_precision_bounds(range_) for name, range_ in choices.items()}
        super().__init__(choices, seed, hyperparam_bounds=bounds, **settings)


def domain(range_: Range) -> Any:
    """What Ray Tune draws new values from."""
    log = range_.scale == "log"
    if range_.integer:
        # Without the upper end.
        low, high = int(range_.low), int(range_.high) + 1
        return tune.lograndint(low, high) if log else tune.randint(low, high)
    return tune.loguniform(range_.low, range_.high) if log else tune.uniform(range_.low, range_.high)


def single_precision_bounds(range_: Range) -> list[float]:
    """The ends of a range, in order, as the nearest numbers inside it that a float32 holds.

    PB2 rounds what it chooses to float32 before it records it. A value rounded out of the range, clamped
    afterwards, would count as another one than the one recorded, and its result would be lost.
    """
    low, high = np.float32(range_.low), np.float32(range_.high)
    # As Python's floats: NumPy would compare in single precision.
    if float(low) < range_.low:
        low = np.nextafter(low, np.float32(np.inf))
    if float(high) > range_.high:
        high = np.nextafter(high, np.float32(-np.inf))
    return [float(low), float(high)]


def clamped(choices: Mapping[str, Range]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Moves what a scheduler has chosen into the ranges: Ray multiplies without regard to them."""

    def clamp(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, **{name: range_.clamp(config[name]) for name, range_ in choices.items()}}

    return clamp
