"""A Gaussian process: what is known of a function from noisy values.

Equation numbers refer to Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006.

The values y at points X are those of a function and noise. The function is another one in every group of
points: one that all groups share and one of the group's own, which are alike a priori. So it has mean 0 and
the covariance

    k(a, b) = signal * exp(-|a - b|^2 / (2 length^2)) * (1 if a and b are of one group, else 1/2).

The kernel is the one of a grid under which the values are most likely. With the eigenvectors Q and the
eigenvalues l of k(X, X) / signal, all kernels of a length have the covariance
Q diag(signal * l + noise) Q^T, and need no decomposition of their own. A library would do as well, but takes
longer to load than all of this.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Of the covariance within a group: what groups have in common.
_SHARED = 0.5
# The kernels that are compared. Points are given in units of what is thought to matter.
_LENGTHS = np.geomspace(0.4, 2.5, 12)
_SIGNALS, _NOISES = np.geomspace(0.05, 5.0, 24), np.geomspace(0.02, 2.0, 24)


class Kernel(NamedTuple):
    """What decides how far a value tells about others.

    Attributes:
        signal: Variance of the function.
        length: Distance over which it changes.
        noise: Variance of what is added to its values.
    """

    signal: float
    length: float
    noise: float

    def __call__(self, a: Floats, b: Floats) -> Floats:
        """k(a, b), (n, m), of points (n, dimensions) and (m, dimensions) of one group."""
        return self.signal * _correlations(a, b, self.length)


def _correlations(a: Floats, b: Floats, length: float) -> Floats:
    # By the binomial formula: the differences themselves take ten times as long.
    distances = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2.0 * (a @ b.T)
    found: Floats = np.exp(np.maximum(distances, 0.0) / (-2.0 * length**2))
    return found


class GaussianProcess:
    """The function, after its values at some points have been seen.

    Args:
        points: X, (n, dimensions).
        values: y, (n,).
        groups: The group of every point.

    Attributes:
        kernel: The most likely one.
        log_likelihood: log p(y | X) under it (Eq. 5.8).
    """

    def __init__(self, points: Floats, values: Floats, groups: Sequence[Hashable]) -> None:
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        self._points, self._numbers = points, numbers
        self._groups = np.array([numbers[group] for group in groups])
        self._common = np.where(self._groups[:, None] == self._groups, 1.0, _SHARED)
        fits = [self._fit(values, length) for length in _LENGTHS]
        self.log_likelihood, self.kernel, self._variances, self._vectors = max(fits, key=lambda fit: fit[0])
        # (k(X, X) + noise)^-1 y.
        self._weights: Floats = self._vectors @ (self._vectors.T @ values / self._variances)

    def _fit(self, values: Floats, length: float) -> tuple[float, Kernel, Floats, Floats]:
        """Of all kernels with a length the most likely one, with the decomposition of its covariance."""
        correlations = _correlations(self._points, self._points, length)
        eigenvalues, vectors = np.linalg.eigh(correlations * self._common)
        variances = _SIGNALS[:, None, None] * np.maximum(eigenvalues, 0.0) + _NOISES[:, None]
        misfit = (np.square(vectors.T @ values) / variances + np.log(variances)).sum(axis=-1)
        log_likelihoods = -0.5 * (misfit + len(values) * math.log(2.0 * math.pi))
        best = np.unravel_index(np.argmax(log_likelihoods), log_likelihoods.shape)
        kernel = Kernel(float(_SIGNALS[best[0]]), float(length), float(_NOISES[best[1]]))
        return float(log_likelihoods[best]), kernel, variances[best], vectors

    def differences(self, points: Floats, reference: Floats, group: Hashable) -> tuple[Floats, Floats]:
        """What is known of f(points) - f(reference) (from Eq. 2.25 and 2.26).

        Args:
            points: (m, dimensions).
            reference: (1, dimensions).
            group: Of all of them. Of a group without values, f is the function that all groups share.

        Returns:
            Mean and standard deviation, (m,) each; 0 for certain where a point is the reference.
        """
        kernel, number = self.kernel, self._numbers.get(group)
        known = number is not None
        common = np.where(self._groups == number, 1.0, _SHARED) if known else _SHARED
        between = (kernel(points, self._points) - kernel(reference, self._points)) * common
        mean = between @ self._weights
        explained = (np.square(between @ self._vectors) / self._variances).sum(axis=1)
        prior = 2.0 * (kernel.signal - kernel(points, reference)[:, 0]) * (1.0 if known else _SHARED)
        variance = prior - explained
        elsewhere = (points != reference).any(axis=1)
        return mean * elsewhere, np.sqrt(np.maximum(variance, 0.0)) * elsewhere
