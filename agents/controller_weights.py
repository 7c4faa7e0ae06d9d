"""What a trained controller is: its weights, what they mean, and the file that keeps them.

Every hyperparameter has a row of weights, one per feature. "level" features set its value as it stands,
"step" features move it from phase to phase (`agents.controller` has the formula).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyperrl_env.checks import is_number

FORMAT, VERSION = "hyperrl-controller", 1
ALGORITHM = "PPO"
HYPERPARAMETERS = ("learning_rate", "clip_range", "gae_lambda", "batch_size", "n_epochs")
# Diagnostics, but for "bias", which is 1, and "own_schedule": where the task's own schedule is.
LEVEL = ("bias", "progress", "log_budget", "own_schedule", "recent_return")
STEP = ("bias", "log_approx_kl", "explained_variance", "entropy", "return_slope", "log_value_loss")
FEATURES = (*(f"level.{name}" for name in LEVEL), *(f"step.{name}" for name in STEP))
N_WEIGHTS = len(HYPERPARAMETERS) * len(FEATURES)
# What a file must say as it stands here, so that no weight is taken for another.
_MEANING: Mapping[str, Any] = {
    "version": VERSION,
    "algorithm": ALGORITHM,
    "hyperparameters": list(HYPERPARAMETERS),
    "features": list(FEATURES),
}
SHIPPED = "data/controller-ppo.json"
_HOW = "`hyperrl evolve STUDY.toml --out DIR` trains one: --set weights=DIR/controller.json"


@dataclass(frozen=True)
class ControllerWeights:
    """The weights of a controller.

    Attributes:
        weights: `N_WEIGHTS` numbers: a row per hyperparameter, a column per feature.
        training: How they were found, for the reader; nothing depends on it.
    """

    weights: tuple[float, ...] = (0.0,) * N_WEIGHTS
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> NDArray[np.float64]:
        """The weights, (hyperparameters, features)."""
        return np.array(self.weights, np.float64).reshape(len(HYPERPARAMETERS), len(FEATURES))

    def to_plain(self) -> dict[str, Any]:
        """The content of the file, as JSON can hold it."""
        content = {"format": FORMAT, **_MEANING, "weights": list(self.weights)}
        return {**content, "training": dict(self.training)}


def read_weights(given: str | Sequence[float] | Mapping[str, Any] | None) -> ControllerWeights:
    """The weights of a controller, from whatever names them.

    Args:
        given: The path of a file, its content, or the numbers alone. None: the file that ships with the
            package.

    Raises:
        ValueError: There is no such file, or it is not that of a controller, or of one with other features,
            hyperparameters, version or algorithm; the message says what would be right.
    """
    if given is None:
        return _shipped()
    if isinstance(given, str):
        return _of_content(given, _content(Path(given)))
    if isinstance(given, Mapping):
        return _of_content("weights", given)
    return ControllerWeights(_numbers("weights", given))


def weights_file(weights: ControllerWeights) -> str:
    """The text of the file that keeps the weights."""
    return json.dumps(weights.to_plain(), indent=2) + "\n"


def _shipped() -> ControllerWeights:
    file = files("agents") / SHIPPED
    if not file.is_file():
        raise ValueError(f"Agent 'controller' needs weights=, since none ship with this version. {_HOW}.")
    return _of_content(SHIPPED, json.loads(file.read_text(encoding="utf-8")))


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"The weights {path} cannot be read: {error.strerror}. {_HOW}.") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error


def _of_content(name: str, content: Any) -> ControllerWeights:
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise ValueError(f"{name} does not hold a controller's weights. {_HOW}.")
    for key, ours in _MEANING.items():
        if (theirs := content.get(key)) != ours:
            raise ValueError(
                f"{name} is a controller with {key} {_shown(theirs)}, and this agent has {_shown(ours)}. "
                "Train one with this version."
            )
    training = content.get("training", {})
    if not isinstance(training, Mapping):
        raise ValueError(f"{name}: training must be an object, not {training!r}.")
    return ControllerWeights(_numbers(f"{name}: weights", content.get("weights")), training)


def _numbers(name: str, given: Any) -> tuple[float, ...]:
    numbers = list(given) if isinstance(given, Sequence | np.ndarray) else []
    if len(numbers) != N_WEIGHTS or not all(is_number(x) and np.isfinite(x) for x in numbers):
        found = f"{len(numbers)} of them" if numbers else repr(given)
        raise ValueError(
            f"{name} must be {N_WEIGHTS} finite numbers, a row of {len(FEATURES)} for each of "
            f"{', '.join(HYPERPARAMETERS)}, not {found}."
        )
    return tuple(float(x) for x in numbers)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
