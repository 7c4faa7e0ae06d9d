"""Hyperparameters: what each one is, and which values of it are offered.

Names are Stable-Baselines3's. A *relative* hyperparameter offers multiples of the task's default
(learning rate 0.5x, 1x, 2x), and if the task decays that default, multiples of the decayed
value. An *absolute* one offers the values themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from hyperrl_env.checks import check_at_least, is_number, unknown

Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class Definition:
    """What a hyperparameter is, whatever the task.

    Attributes:
        effect: What it does, in one sentence.
        scope: "update": acts in the very update it is chosen for. "phase": acts in the environment
            phase that follows, with the value chosen last.
        bins: The values offered if only the name is given.
        relative: Whether those are multiples of the task's default.
        scale: How "box" actions and ranges spread over the values.
        low: Smallest allowed value.
        high: Largest allowed value.
        open_low: Whether `low` itself is forbidden.
        integer: Whether only whole numbers make sense.
    """

    effect: str
    scope: Literal["update", "phase"]
    bins: tuple[float, ...]
    relative: bool = False
    scale: Scale = "linear"
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    integer: bool = False

    def allows(self, value: float) -> bool:
        """Whether the value lies in the hyperparameter's own domain."""
        return math.isfinite(value) and (
            self.low < value <= self.high if self.open_low else self.low <= value <= self.high
        )

    def check(self, name: str, value: object) -> None:
        """Raises ValueError, naming the hyperparameter, if the value is not in its domain."""
        if not is_number(value):
            raise ValueError(f"{name} must be a number in {self.domain}, not {value!r}.")
        if not self.allows(float(value)) or (self.integer and value != int(value)):
            raise ValueError(f"{name}={value:g} is outside its domain: {self.domain}.")

    @property
    def kind(self) -> type[int] | type[float]:
        """What its values are: int if only whole numbers make sense, else float."""
        return int if self.integer else float

    @property
    def domain(self) -> str:
        """The domain in interval notation."""
        kind = "integers in " if self.integer else ""
        left, right = "(" if self.open_low else "[", ")" if self.high == math.inf else "]"
        return f"{kind}{left}{self.low:g}, {self.high:g}{right}"


# Bins: settings of the paper's released code, as far as it schedules the hyperparameter.
DEFINITIONS: Mapping[str, Definition] = {
    "learning_rate": Definition(
        effect="Step size of the optimiser.",
        scope="update", low=0, open_low=True, scale="log", bins=(0.5, 1, 2), relative=True,
    ),
    "clip_range": Definition(
        effect="How far PPO's probability ratio may leave 1 before its gradient stops; value clipping, "
        "if the task uses it, keeps its ratio to this.",
        scope="update", low=0, open_low=True, bins=(0.1, 0.2, 0.3, 0.4, 0.5),
    ),
    "batch_size": Definition(
        effect="How many samples of the epoch's permutation the update takes.",
        scope="update", low=1, integer=True, scale="log", bins=(0.5, 1, 2), relative=True,
    ),
    "ent_coef": Definition(
        effect="Weight of the entropy bonus in the loss.",
        scope="update", low=0, bins=(0, 0.001, 0.01, 0.1),
    ),
    "vf_coef": Definition(
        effect="Weight of the value loss in the loss.",
        scope="update", low=0, scale="log", bins=(0.5, 1, 2), relative=True,
    ),
    "max_grad_norm": Definition(
        effect="Norm that the gradient is clipped to.",
        scope="update", low=0, open_low=True, scale="log", bins=(0.5, 1, 2), relative=True,
    ),
    "kl_clip": Definition(
        effect="Trust region of an ACKTR update.",
        scope="update", low=0, open_low=True, bins=(0.001, 0.002, 0.003),
    ),
    "damping": Definition(
        effect="Added to the eigenvalues of ACKTR's Fisher matrix.",
        scope="update", low=0, open_low=True, scale="log", bins=(0.5, 1, 2), relative=True,
    ),
    "momentum": Definition(
        effect="How much of its direction ACKTR keeps from update to update.",
        scope="update", low=0, high=0.999, bins=(0.8, 0.9, 0.95),
    ),
    "weight_decay": Definition(
        effect="Times the weights, added to ACKTR's gradient.",
        scope="update", low=0, bins=(0, 1e-4, 1e-2),
    ),
    "stats_interval": Definition(
        effect="Updates from one batch of ACKTR's Fisher statistics to the next.",
        scope="update", low=1, integer=True, scale="log", bins=(1, 2, 4),
    ),
    "inversion_interval": Definition(
        effect="Updates from one inversion of ACKTR's Fisher matrix to the next.",
        scope="update", low=1, integer=True, scale="log", bins=(5, 10, 20),
    ),
    "gamma": Definition(
        effect="Discount factor of the advantages and returns that the update aims at.",
        scope="update", low=0, high=1, bins=(0.95, 0.975, 0.99),
    ),
    "gae_lambda": Definition(
        effect="Lambda of the generalised advantages and lambda-returns that the update aims at.",
        scope="update", low=0, high=1, bins=(0.9, 0.925, 0.95, 0.975, 0.99),
    ),
    "n_epochs": Definition(
        effect="Passes over the rollout in an update phase; the update that ends a pass decides whether "
        "another follows.",
        scope="update", low=1, integer=True, scale="log", bins=(0.5, 1, 2), relative=True,
    ),
    "n_steps": Definition(
        effect="Steps of each inner environment in an environment phase.",
        scope="phase", low=1, integer=True, scale="log", bins=(0.25, 0.5, 1), relative=True,
    ),
}  # fmt: skip


def definition(name: str) -> Definition:
    """Looks up a hyperparameter.

    Raises:
        ValueError: For an unknown name; the message lists those that exist.
    """
    if not isinstance(name, str) or name not in DEFINITIONS:
        raise ValueError(unknown("hyperparameter", name, DEFINITIONS))
    return DEFINITIONS[name]


def spread(low: float, high: float, n: int, scale: Scale) -> tuple[float, ...]:
    """`n` values from `low` to `high`, both included, evenly spaced on the scale.

    Example:
        >>> [round(value, 6) for value in spread(0.01, 1.0, 3, "log")]
        [0.01, 0.1, 1.0]
    """
    return tuple(interpolate(low, high, i / (n - 1), scale) for i in range(n))


def interpolate(low: float, high: float, fraction: float, scale: Scale) -> float:
    """The value at a fraction in [0, 1] of the way from `low` to `high` on the scale."""
    if scale == "log":
        return math.exp(math.log(low) + fraction * (math.log(high) - math.log(low)))
    return low + fraction * (high - low)


def fraction_of(low: float, high: float, value: float, scale: Scale) -> float:
    """Inverse of `interpolate`."""
    if scale == "log":
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


@dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter of a search space, with the values offered.

    Give `values`, or `multipliers`, or `low` and `high` (`n_bins` values between them), or nothing
    for the standard bins.

    Args:
        name: Stable-Baselines3's name.
        values: The values offered (absolute).
        multipliers: The multiples of the task's default that are offered (relative).
        low: Smallest value of a range (absolute).
        high: Largest value of a range (absolute).
        n_bins: How many values of the range the discrete action modes offer.
        scale: "linear" or "log"; how a range is divided and how "box" actions spread. Default:
            the hyperparameter's own.

    Raises:
        ValueError: Unknown name, values outside the hyperparameter's domain, no value to choose
            between, or more than one of the three forms.

    Example:
        >>> Hyperparameter("learning_rate").bins  # times the task's default
        (0.5, 1, 2)
        >>> Hyperparameter("gamma", low=0.9, high=1.0, n_bins=3).bins
        (0.9, 0.95, 1.0)
        >>> Hyperparameter("gamma", values=(2,))
        Traceback (most recent call last):
        ValueError: gamma=2 is outside its domain: [0, 1].
    """

    name: str
    values: tuple[float, ...] | None = None
    multipliers: tuple[float, ...] | None = None
    low: float | None = None
    high: float | None = None
    n_bins: int = 5
    scale: Scale | None = None

    def __post_init__(self) -> None:
        definition(self.name)
        if self.scale not in (None, *get_args(Scale)):
            raise ValueError(f"{self.name}: {unknown('scale', self.scale, get_args(Scale))}")
        is_range = self.low is not None or self.high is not None
        if (self.values is not None) + (self.multipliers is not None) + is_range > 1:
            raise ValueError(f"{self.name}: give only one of values, multipliers, and low with high.")
        if is_range:
            self._check_range()
        if self.values is not None:
            object.__setattr__(self, "values", _sorted_unique(f"{self.name}: values", self.values))
            for value in self.bins:
                self.check(value)
        if self.multipliers is not None:
            multipliers = _sorted_unique(f"{self.name}: multipliers", self.multipliers)
            object.__setattr__(self, "multipliers", multipliers)
            if not all(0 < m < math.inf for m in self.bins):
                raise ValueError(
                    f"{self.name}: multipliers must be positive and finite, not {self.multipliers}."
                )
            if 1.0 not in self.bins:
                raise ValueError(f"{self.name}: multipliers must contain 1, the task's default.")
        if self.scale == "log" and min(self.bins) <= 0:
            raise ValueError(f"{self.name}: a log scale needs positive values, not {min(self.bins):g}.")

    def _check_range(self) -> None:
        if self.low is None or self.high is None:
            raise ValueError(f"{self.name}: a range needs low < high, not low={self.low}, high={self.high}.")
        self.check(self.low)
        self.check(self.high)
        if not self.low < self.high:
            raise ValueError(f"{self.name}: a range needs low < high, not low={self.low}, high={self.high}.")
        check_at_least(f"{self.name}: n_bins", self.n_bins, 2)
        if self.box_scale == "log" and self.low <= 0:
            raise ValueError(f"{self.name}: a range on a log scale needs low > 0, not {self.low:g}.")

    @property
    def relative(self) -> bool:
        """Whether the bins are multiples of the task's default."""
        if self.multipliers is not None:
            return True
        return self.values is None and self.low is None and definition(self.name).relative

    @property
    def standard(self) -> bool:
        """Whether only the name was given, so that the bins are the standard ones."""
        return self.values is None and self.multipliers is None and self.low is None

    @property
    def bins(self) -> tuple[float, ...]:
        """What is offered, ascending: multiples of the default if `relative`, else values."""
        if self.values is not None:
            return self.values
        if self.multipliers is not None:
            return self.multipliers
        if self.low is not None and self.high is not None:
            values = spread(self.low, self.high, self.n_bins, self.box_scale)
            if definition(self.name).integer:
                return tuple(float(v) for v in sorted({round(v) for v in values}))
            return values
        return definition(self.name).bins

    @property
    def box_scale(self) -> Scale:
        """The scale in force: the one given, or the hyperparameter's own; linear if 0 is offered."""
        if self.scale is not None:
            return self.scale
        return "linear" if self.values is not None and min(self.values) <= 0 else definition(self.name).scale

    def check(self, value: float) -> None:
        """Raises ValueError if an absolute value lies outside the hyperparameter's domain."""
        definition(self.name).check(self.name, value)


def _sorted_unique(name: str, values: object) -> tuple[float, ...]:
    numbers = list(values) if isinstance(values, Iterable) and not isinstance(values, str | Mapping) else []
    if not numbers or not all(is_number(number) for number in numbers):
        raise ValueError(f"{name} must be a list of at least one number, not {values!r}.")
    return tuple(sorted({float(number) for number in numbers}))


_ARGUMENTS = tuple(item.name for item in fields(Hyperparameter) if item.name != "name")


def as_hyperparameter(item: object) -> Hyperparameter:
    """A hyperparameter from itself, its name, or a mapping of its arguments (its form in JSON)."""
    if isinstance(item, Hyperparameter):
        return item
    if isinstance(item, str):
        return Hyperparameter(item)
    if not isinstance(item, Mapping) or "name" not in item:
        raise ValueError(
            "A search space lists names of hyperparameters, Hyperparameter objects, or mappings with a "
            f"'name' and what is offered, not {item!r}."
        )
    return offered(item["name"], {key: value for key, value in item.items() if key != "name"})


def offered(name: str, offer: object) -> Hyperparameter:
    """A hyperparameter from its name and what is offered: a list of values, or further arguments."""
    if isinstance(offer, Mapping):
        for key in offer:
            if key not in _ARGUMENTS:
                raise ValueError(f"{name}: {unknown('argument', key, _ARGUMENTS)}")
        return Hyperparameter(name, **offer)
    if isinstance(offer, str) or not isinstance(offer, Iterable):
        raise ValueError(
            f"{name}: give a list of values, as [1e-4, 1e-3], or arguments of a Hyperparameter, as "
            f'{{"multipliers": [0.5, 1, 2]}}, not {offer!r}.'
        )
    return Hyperparameter(name, values=tuple(offer))


def levels(q: int, s: float) -> tuple[float, ...]:
    """The paper's "level" multipliers: 1 and, for i = 1..q-1, i/s + 1 and its inverse.

    Example:
        >>> levels(2, 1.0)
        (0.5, 1.0, 2.0)
    """
    above = [i / s + 1 for i in range(1, q)]
    return tuple(sorted([1.0, *above, *(1 / m for m in above)]))
