"""Running mean and spread of a sequence of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Squares of what is larger would overflow.
_LARGEST = 1e100
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Running:
    """Mean and variance of the numbers so far; saved as its fields.

    Attributes:
        count: How many numbers there were.
        mean: Their mean.
        variance: Their variance, divided by `count`.

    Example:
        >>> seen = Running().add(1.0).add(5.0)
        >>> seen.mean, seen.spread
        (3.0, 2.0)
    """

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, x: float, weight: float = 0.0) -> Running:
        """With one number more (West, "Updating mean and variance estimates", 1979).

        Args:
            x: Finite.
            weight: How much the new number counts at least, in [0, 1], so that the mean follows the latest
                numbers; 0: all numbers count the same.
        """
        count = self.count + 1
        weight = min(max(1 / count, weight), 1.0)
        delta = min(max(x, -_LARGEST), _LARGEST) - self.mean
        variance = (1 - weight) * (self.variance + weight * delta * delta)
        return Running(count, self.mean + weight * delta, variance)

    @property
    def spread(self) -> float:
        """The standard deviation; 0 of fewer than two numbers, and of numbers equal but for rounding."""
        spread = math.sqrt(self.variance)
        return spread if spread > _ROUNDING * abs(self.mean) else 0.0
