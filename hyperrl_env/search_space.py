"""The search space: which hyperparameters a hyper-action chooses, and how actions mean values."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction
from numpy.typing import NDArray

from hyperrl_env.checks import check_choice, suggestion
from hyperrl_env.hyperparameters import (
    Hyperparameter,
    Scale,
    as_hyperparameter,
    definition,
    fraction_of,
    interpolate,
    offered,
)

ActionMode = Literal["discrete", "multi_discrete", "box"]
# What makes a search space, beside the name of a preset.
Offered = (
    Iterable[Hyperparameter | str | Mapping[str, Any]] | Mapping[str, Sequence[float] | Mapping[str, Any]]
)

FORMS = "a list of hyperparameters, or a mapping of their names to values"


class SearchSpace:
    """The hyperparameters that a hyper-action chooses together.

    Args:
        hyperparameters: `Hyperparameter` objects or names, which stand for their standard bins; or a
            mapping of names to what is offered: a list of values, or the further arguments of a
            `Hyperparameter` (`{}`: its standard bins).

    Attributes:
        hyperparameters: The `Hyperparameter` objects, in the order of the action's components.

    Raises:
        ValueError: None given, one given twice, an unknown name, or impossible values.

    Example:
        >>> SearchSpace(["clip_range", Hyperparameter("learning_rate", multipliers=(0.1, 1, 10))])
        SearchSpace(clip_range: (0.1, 0.2, 0.3, 0.4, 0.5), learning_rate: (0.1, 1.0, 10.0))
        >>> SearchSpace({"learning_rate": [1e-4, 1e-3], "gamma": {"low": 0.9, "high": 1, "n_bins": 3}})
        SearchSpace(learning_rate: (0.0001, 0.001), gamma: (0.9, 0.95, 1.0))
    """

    def __init__(self, hyperparameters: Offered) -> None:
        if isinstance(hyperparameters, Mapping):
            self.hyperparameters = tuple(offered(name, offer) for name, offer in hyperparameters.items())
        # The order of a set, and so the meaning of an action, changes from process to process.
        elif isinstance(hyperparameters, str | Set) or not isinstance(hyperparameters, Iterable):
            raise ValueError(f"A search space needs {FORMS}, not {hyperparameters!r}.")
        else:
            self.hyperparameters = tuple(as_hyperparameter(item) for item in hyperparameters)
        if not self.hyperparameters:
            raise ValueError("A search space needs at least one hyperparameter.")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"A search space must name each hyperparameter once, not {list(self.names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The hyperparameters' names, in the order of the action's components."""
        return tuple(hyperparameter.name for hyperparameter in self.hyperparameters)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{h.name}: {h.bins}' for h in self.hyperparameters)})"


@dataclass(frozen=True)
class _Choice:
    """What a bound hyperparameter offers: bins (multiples if relative) and the index of its default."""

    hyperparameter: Hyperparameter
    bins: tuple[float, ...]
    default_index: int

    def value(self, choice: float, default: float) -> float:
        """The value that a bin, or a point between bins, means while the task's default is `default`."""
        own = definition(self.hyperparameter.name)
        value = choice * default if self.hyperparameter.relative else choice
        return max(round(value), math.ceil(own.low)) if own.integer else value

    def choice(self, value: float, default: float) -> float:
        """Inverse of `value`: a bin if one means this value, else a point in their range.

        Raises:
            ValueError: The value is outside the range that is offered.
        """
        offered = [self.value(bin_, default) for bin_ in self.bins]
        offered[self.default_index] = default
        # The default last: it is the one that follows the task's schedule, wherever that has led.
        for i in sorted(range(len(offered)), key=lambda i: i == self.default_index):
            if math.isclose(offered[i], value, rel_tol=1e-6):
                return self.bins[i]
        inside = value / default if self.hyperparameter.relative and default else value
        if not self.bins[0] < inside < self.bins[-1]:
            raise ValueError(
                f"{self.hyperparameter.name}={value:g} is not offered. Values offered: {offered}."
            )
        return inside

    @property
    def scale(self) -> Scale:
        """The scale of `coordinate`; linear if a default of 0 is among the bins."""
        return "linear" if self.bins[0] <= 0 else self.hyperparameter.box_scale

    def coordinate(self, choice: float) -> np.float32:
        """Where a choice lies in [-1, 1] on the hyperparameter's scale."""
        low, high = self.bins[0], self.bins[-1]
        if low == high:
            return np.float32(0.0)
        return np.float32(2.0 * fraction_of(low, high, choice, self.scale) - 1.0)

    def at(self, coordinate: float) -> float:
        """Inverse of `coordinate`; a bin's own coordinate gives exactly the bin, first of all the default."""
        for bin_ in (self.bins[self.default_index], *self.bins):
            if np.float32(coordinate) == self.coordinate(bin_):
                return bin_
        low, high = self.bins[0], self.bins[-1]
        return interpolate(low, high, (float(coordinate) + 1.0) / 2.0, self.scale)


def _bind(hyperparameter: Hyperparameter, default: float, limit: float) -> _Choice:
    """Fits a hyperparameter's bins to a task: its default becomes a bin, standard bins that do not fit go."""
    name, own = hyperparameter.name, definition(hyperparameter.name)
    unit = 1.0 if hyperparameter.relative else default
    if hyperparameter.relative and default <= 0:
        raise ValueError(
            f"{name}: the task's default is {default:g}, which leaves no multiples to choose from. Give "
            f"values instead, as Hyperparameter({name!r}, values=(...))."
        )
    resolve = _Choice(hyperparameter, (unit,), 0).value
    bins: list[float] = [unit]
    for choice in hyperparameter.bins:
        value = resolve(choice, default)
        if math.isclose(value, default) or any(value == resolve(other, default) for other in bins):
            continue
        if own.allows(value) and value <= limit:
            bins.append(choice)
        elif not hyperparameter.standard:
            hyperparameter.check(value)
            raise ValueError(
                f"{name}={value:g} is larger than the rollout of {limit:g} samples (n_steps * n_envs)."
            )
    bins.sort()
    return _Choice(hyperparameter, tuple(bins), bins.index(unit))


class BoundSearchSpace(SearchSpace):
    """A search space fitted to one task and action mode: hyper-actions to values and back.

    The default of the task is always among the bins; a bin that equals it follows the task's
    schedule if there is one (a decayed learning rate); all other absolute bins are constant.
    Standard bins that a task cannot use (a batch larger than its rollout) are left out.

    Args:
        space: What is to be chosen.
        action_mode: "discrete": one number for the joint choice, the last hyperparameter varying
            fastest. "multi_discrete": a bin per hyperparameter. "box": a float32 in [-1, 1] per
            hyperparameter, on its own scale, from its smallest to its largest bin.
        defaults: The task's default of every hyperparameter that its algorithm offers.
        rollout_size: n_steps * n_envs, which no batch may exceed.

    Attributes:
        action_space: The Gymnasium action space.
        n_actions: Number of joint choices of bins, in every action mode.

    Raises:
        ValueError: A hyperparameter that the algorithm does not offer, or values that do not fit.

    Example:
        >>> space = BoundSearchSpace(
        ...     SearchSpace(["learning_rate", "gamma"]),
        ...     "discrete",
        ...     defaults={"learning_rate": 0.001, "gamma": 0.99},
        ...     rollout_size=2048,
        ... )
        >>> space.n_actions
        9
        >>> space.values(0)
        {'learning_rate': 0.0005, 'gamma': 0.95}
        >>> int(space.action({"learning_rate": 0.002}))  # gamma keeps its default
        8
    """

    def __init__(
        self,
        space: SearchSpace,
        action_mode: ActionMode,
        defaults: Mapping[str, float],
        rollout_size: int,
    ) -> None:
        super().__init__(space.hyperparameters)
        check_choice("action_mode", action_mode, get_args(ActionMode))
        for name in self.names:
            if name not in defaults:
                raise ValueError(
                    f"This algorithm does not offer {name!r}.{suggestion(name, defaults)} It offers: "
                    f"{', '.join(sorted(defaults))}."
                )
        self.action_mode = action_mode
        self._defaults = dict(defaults)
        self._choices = tuple(
            _bind(h, defaults[h.name], rollout_size if h.name == "batch_size" else math.inf)
            for h in self.hyperparameters
        )
        self._shape = tuple(len(choice.bins) for choice in self._choices)
        self.n_actions = math.prod(self._shape)
        self.action_space: spaces.Space[Any]
        if action_mode == "discrete":
            self.action_space = spaces.Discrete(self.n_actions)
        elif action_mode == "multi_discrete":
            self.action_space = spaces.MultiDiscrete(list(self._shape))
        else:
            self.action_space = spaces.Box(-1.0, 1.0, (len(self._shape),), np.float32)

    @property
    def default_action(self) -> Any:
        """The action that means the task's defaults."""
        return self._action([choice.default_index for choice in self._choices])

    @property
    def bins(self) -> dict[str, tuple[float, ...]]:
        """What is offered per hyperparameter, ascending: multiples of the default if relative."""
        return {choice.hyperparameter.name: choice.bins for choice in self._choices}

    def least(self, name: str) -> float:
        """The smallest value of a hyperparameter that an action can choose; its default if it is fixed."""
        choices = [choice for choice in self._choices if choice.hyperparameter.name == name]
        default = self._defaults[name]
        return min([choice.value(choice.bins[0], default) for choice in choices], default=default)

    def values(self, action: Any, defaults: Mapping[str, float] | None = None) -> dict[str, float]:
        """The hyperparameters that an action means.

        Args:
            action: An element of `action_space`.
            defaults: The task's defaults at this moment of the run; None: those at its start.

        Returns:
            Value by name; whole numbers for integer hyperparameters.

        Raises:
            InvalidAction: The action is not in `action_space`.
        """
        now = self._defaults if defaults is None else defaults
        return {
            c.hyperparameter.name: (
                now[c.hyperparameter.name]
                if choice == c.bins[c.default_index]
                else c.value(choice, now[c.hyperparameter.name])
            )
            for c, choice in zip(self._choices, self._chosen(action), strict=True)
        }

    def action(self, values: Mapping[str, float], defaults: Mapping[str, float] | None = None) -> Any:
        """The action that means the given values; hyperparameters not named keep their default.

        Args:
            values: Value by name.
            defaults: As for `values()`.

        Raises:
            ValueError: A hyperparameter that is not in the space, or a value that is not offered.
        """
        for name in values:
            if name not in self.names:
                names = ", ".join(self.names)
                raise ValueError(
                    f"{name!r} is not in this search space.{suggestion(name, self.names)} It has: {names}."
                )
        now = {**self._defaults, **(defaults or {})}
        chosen = []
        for c in self._choices:
            name = c.hyperparameter.name
            chosen.append(c.choice(values[name], now[name]) if name in values else c.bins[c.default_index])
            if self.action_mode != "box" and chosen[-1] not in c.bins:
                offered = [c.value(bin_, now[name]) for bin_ in c.bins]
                raise ValueError(f"{name}={values[name]:g} is not offered. Values offered: {offered}.")
        if self.action_mode == "box":
            return np.array([c.coordinate(x) for c, x in zip(self._choices, chosen, strict=True)])
        return self._action([c.bins.index(choice) for c, choice in zip(self._choices, chosen, strict=True)])

    def joint_action(self, index: int | np.integer[Any]) -> Any:
        """The action, in this action mode, of the joint choice with this number in [0, n_actions)."""
        if self.action_mode == "discrete":
            return np.int64(operator.index(index))
        return self._action([int(i) for i in np.unravel_index(index, self._shape)])

    def joint_index(self, action: Any) -> int:
        """The number of the joint choice that an action means; of the nearest bins for "box" actions.

        Raises:
            InvalidAction: The action is not in `action_space`.
        """
        if self.action_mode == "discrete":
            self._check(action)
            return int(action)
        chosen = self._chosen(action)
        nearest = [
            int(np.argmin([abs(c.coordinate(bin_) - c.coordinate(choice)) for bin_ in c.bins]))
            for c, choice in zip(self._choices, chosen, strict=True)
        ]
        return int(np.ravel_multi_index(nearest, self._shape))

    def _action(self, indices: list[int]) -> Any:
        if self.action_mode == "discrete":
            return np.int64(np.ravel_multi_index(indices, self._shape))
        if self.action_mode == "multi_discrete":
            return np.array(indices, dtype=np.int64)
        return np.array([c.coordinate(c.bins[i]) for c, i in zip(self._choices, indices, strict=True)])

    def _chosen(self, action: Any) -> list[float]:
        if self.action_mode == "box":
            try:
                coordinates = np.asarray(action, dtype=np.float32)
            except (TypeError, ValueError):
                raise self._invalid(action) from None
            self._check(coordinates)
            return [c.at(x) for c, x in zip(self._choices, coordinates, strict=True)]
        indices: NDArray[np.int64] | tuple[Any, ...]
        self._check(action)
        indices = np.unravel_index(int(action), self._shape) if self.action_mode == "discrete" else action
        return [c.bins[int(i)] for c, i in zip(self._choices, indices, strict=True)]

    def _check(self, action: Any) -> None:
        if not self.action_space.contains(action):
            raise self._invalid(action)

    def _invalid(self, action: Any) -> InvalidAction:
        return InvalidAction(f"Hyper-action {action!r} is not in the action space {self.action_space}.")
