"""Checks of arguments: what is wrong is said where it was given, and not where it first hurts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def check_at_least(name: str, value: object, least: int, what: str = "") -> None:
    """Raises ValueError where the value is no whole number of at least `least`, which is `what`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        reason = f" ({what})" if what else ""
        raise ValueError(f"{name} must be a whole number of at least {least}{reason}, not {value!r}.")


def check_bool(name: str, value: object) -> None:
    """Raises ValueError where the value is neither True nor False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, not {value!r}.")


def check_positive(name: str, value: object) -> None:
    """Raises ValueError where the value is no finite number above 0."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:  # type: ignore[operator]
        raise ValueError(f"{name} must be a finite number above 0, not {value!r}.")


def check_text(name: str, value: object) -> None:
    """Raises ValueError where the value is no string."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, not {value!r}.")


def check_keywords(name: str, value: object) -> None:
    """Raises ValueError where the value does not map keywords to values."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must map keywords to values, not be {value!r}.")


# Of SB3's constructor arguments those that it does not check itself before it is too late, beside the
# hyperparameters; None is a value of each that has None as its default.
LEARNER_ARGUMENTS: Mapping[str, Callable[[str, object], None]] = {
    "clip_range_vf": check_positive,
    "target_kl": check_positive,
    "rms_prop_eps": check_positive,
    "normalize_advantage": check_bool,
    "use_rms_prop": check_bool,
    "use_sde": check_bool,
    "policy_kwargs": check_keywords,
    "stats_window_size": lambda name, value: check_at_least(name, value, 1),
    "verbose": lambda name, value: check_at_least(name, value, 0),
}


def check_learner_argument(name: str, value: Any, default: Any) -> None:
    """Raises ValueError where SB3 would not come far with the value of a constructor argument."""
    if name in LEARNER_ARGUMENTS and not (value is None and default is None) and not callable(value):
        LEARNER_ARGUMENTS[name](name, value)
