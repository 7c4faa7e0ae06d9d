"""Numbers as the page holds them: as short as they can be without a difference that shows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of the largest number: a ten-thousandth is less than a pixel.
_DIGITS = 5


def compact(values: NDArray[Any]) -> list[float | None]:
    """Numbers rounded to five digits of the largest; None for those that are not finite.

    Example:
        >>> compact(np.array([1234.5678, 0.1234, np.nan]))
        [1234.6, 0.1, None]
    """
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    largest = float(np.abs(values[finite]).max(initial=0))
    decimals = _DIGITS - 1 - (math.floor(math.log10(largest)) if largest else 0)
    rounded = np.round(values, decimals)
    if decimals <= 0:
        return [int(value) if known else None for value, known in zip(rounded, finite, strict=True)]
    return [value if known else None for value, known in zip(rounded.tolist(), finite.tolist(), strict=True)]


def significant(values: NDArray[Any]) -> list[float | None]:
    """Numbers rounded to five digits each; None for those that are not finite.

    Example:
        >>> significant(np.array([0.000123456, 64, np.nan]))
        [0.00012346, 64.0, None]
    """
    return [
        float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
        for value in np.asarray(values).tolist()
    ]
