"""Checks of arguments, made where an argument is given and not where it first causes an error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeGuard

import numpy as np

_SUGGESTIONS = 3


def is_whole(value: object) -> TypeGuard[int]:
    """Whether the value is a whole number, of Python or NumPy, by its type; truth values are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_at_least(name: str, value: object, least: int, what: str = "") -> None:
    """Raises ValueError unless the value is a whole number of at least `least`, which is `what`."""
    if not is_whole(value) or value < least:
        reason = f" ({what})" if what else ""
        raise ValueError(f"{name} must be a whole number of at least {least}{reason}, not {value!r}.")


def check_between(name: str, value: object, least: int, most: int) -> None:
    """Raises ValueError unless the value is a whole number from `least` to `most`, both included."""
    if not is_whole(value) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number in [{least}, {most}], not {value!r}.")


def check_choice(name: str, value: object, valid: Sequence[str]) -> None:
    """Raises ValueError unless the value is one of the valid ones; the message lists them."""
    if value not in valid:
        raise ValueError(unknown(name, value, valid))


def check_bool(name: str, value: object) -> None:
    """Raises ValueError unless the value is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, not {value!r}.")


def is_number(value: object) -> TypeGuard[float]:
    """Whether the value is a real number, of Python or NumPy; truth values are not."""
    return is_whole(value) or isinstance(value, float | np.floating)


def check_number(name: str, value: object) -> None:
    """Raises ValueError unless the value is a number."""
    if not is_number(value):
        raise ValueError(f"{name} must be a number, not {value!r}.")


def check_fraction(name: str, value: object, *, above_0: bool = False) -> None:
    """Raises ValueError unless the value is a number in [0, 1]; in (0, 1] with `above_0`."""
    if not is_number(value) or not 0 <= value <= 1 or (above_0 and value == 0):
        raise ValueError(f"{name} must be a number in {'(' if above_0 else '['}0, 1], not {value!r}.")


def check_positive(name: str, value: object) -> None:
    """Raises ValueError unless the value is a finite number above 0."""
    if not is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, not {value!r}.")


def check_text(name: str, value: object) -> None:
    """Raises ValueError unless the value is a string."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, not {value!r}.")


def check_keywords(name: str, value: object) -> None:
    """Raises ValueError unless the value maps keywords to values."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must map keywords to values, not be {value!r}.")


def unknown(what: str, name: object, valid: Iterable[str]) -> str:
    """The message for a name that is not one of the valid ones.

    Example:
        >>> unknown("agent", "egpt", ["epgt", "random"])
        "Unknown agent 'egpt'. Did you mean 'epgt'? Valid agents: epgt, random."
    """
    names = list(valid)
    return f"Unknown {what} {name!r}.{suggestion(name, names)} Valid {what}s: {', '.join(names) or 'none'}."


def suggestion(
    name: object, known: Iterable[str], aliases: Mapping[str, str] | None = None, cutoff: float = 0.7
) -> str:
    """A question that names what was probably meant; empty if nothing comes close.

    Names that contain `name` come before those that are spelled like it, whatever the case.

    Args:
        name: What was given.
        known: The valid names.
        aliases: Other spellings, and the valid name that each stands for.
        cutoff: How alike two spellings must be, from 0 to 1 (equal).

    Example:
        >>> suggestion("clip", ["learning_rate", "clip_range"])
        " Did you mean 'clip_range'?"
    """
    given, names = str(name).lower(), {item: item for item in known}
    meant = {spelling.lower(): item for spelling, item in {**(aliases or {}), **names}.items()}
    close = [spelling for spelling in meant if len(given) > 2 and given in spelling]
    close = close or get_close_matches(given, meant, n=_SUGGESTIONS, cutoff=cutoff)
    questions = list(dict.fromkeys(repr(meant[spelling]) for spelling in close))[:_SUGGESTIONS]
    return f" Did you mean {' or '.join(questions)}?" if questions else ""


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
    """Raises ValueError for the value of a constructor argument that SB3 would only fail on later."""
    if name == "tensorboard_log" and value is not None:
        raise ValueError(
            "tensorboard_log is for Stable-Baselines3's learn(), which is not called here. `hyperrl train` "
            "logs to TensorBoard. In a program of yours, let learner be env.unwrapped.learner: after reset() "
            "call learner.set_logger(stable_baselines3.common.logger.configure(folder, ['tensorboard'])), "
            "and after every step with 'phase_stats' in info learner.logger.dump(info['env_steps'])."
        )
    if name in LEARNER_ARGUMENTS and not (value is None and default is None) and not callable(value):
        LEARNER_ARGUMENTS[name](name, value)
