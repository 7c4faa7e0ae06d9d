"""Linear recurrences over time, all steps at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def discounted_sums(terms: NDArray[np.floating], factors: NDArray[np.floating]) -> NDArray[np.float64]:
    """y_t = terms_t + factors_t * y_{t+1}, with y = 0 after the last step.

    Composes affine maps pairwise over doubling distances (Hillis and Steele, "Data parallel
    algorithms", 1986): log2(T) passes over whole arrays instead of T steps.

    Args:
        terms: (T, ...).
        factors: (T, ...); what lies beyond step t counts with factor t.

    Returns:
        (T, ...).
    """
    y = np.array(terms, dtype=np.float64)
    a = np.array(factors, dtype=np.float64)
    a[-1] = 0.0
    shift = 1
    while shift < len(y):
        y[:-shift] += a[:-shift] * y[shift:]
        a[:-shift] *= a[shift:]
        a[-shift:] = 0.0
        shift *= 2
    return y
