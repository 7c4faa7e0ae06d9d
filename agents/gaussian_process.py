"""A Gaussian process: what is known of a function from noisy values.

Equation numbers refer to Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006.

The values y at points X are those of a function f and noise; f has mean 0 and the covariance

    k(a, b) = signal * exp(-|a - b|^2 / (2 length^2)).

The kernel is the one of a grid under which the values are most likely. With the eigenvectors Q and the
eigenvalues l of k(X, X) / signal, all kernels of a length have the covariance
Q diag(signal * l + noise) Q^T, and need no decomposition of their own. A library would do as well, but takes
longer to load than all of this.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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
        """k(a, b), (n, m), of points (n, dimensions) and (m, dimensions)."""
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

    Attributes:
        kernel: The most likely one.
        log_likelihood: log p(y | X) under it (Eq. 5.8).
    """

    def __init__(self, points: Floats, values: Floats) -> None:
        self._points = points
        fits = [self._fit(values, length) for length in _LENGTHS]
        self.log_likelihood, self.kernel, self._variances, self._vectors = max(fits, key=lambda fit: fit[0])
        # (k(X, X) + noise)^-1 y.
        self._weights: Floats = self._vectors @ (self._vectors.T @ values / self._variances)

    def _fit(self, values: Floats, length: float) -> tuple[float, Kernel, Floats, Floats]:
        """Of all kernels with a length the most likely one, with the decomposition of its covariance."""
        eigenvalues, vectors = np.linalg.eigh(_correlations(self._points, self._points, length))
        variances = _SIGNALS[:, None, None] * np.maximum(eigenvalues, 0.0) + _NOISES[:, None]
        misfit = (np.square(vectors.T @ values) / variances + np.log(variances)).sum(axis=-1)
        log_likelihoods = -0.5 * (misfit + len(values) * math.log(2.0 * math.pi))
        best = np.unravel_index(np.argmax(log_likelihoods), log_likelihoods.shape)
        kernel = Kernel(float(_SIGNALS[best[0]]), float(length), float(_NOISES[best[1]]))
        return float(log_likelihoods[best]), kernel, variances[best], vectors

    def differences(self, points: Floats, reference: Floats) -> tuple[Floats, Floats]:
        """What is known of f(points) - f(reference) (from Eq. 2.25 and 2.26).

        Args:
            points: (m, dimensions).
            reference: (1, dimensions).

        Returns:
            Mean and standard deviation, (m,) each; 0 for certain where a point is the reference.
        """
        kernel = self.kernel
        between = kernel(points, self._points) - kernel(reference, self._points)
        mean = between @ self._weights
        explained = (np.square(between @ self._vectors) / self._variances).sum(axis=1)
        variance = 2.0 * (kernel.signal - kernel(points, reference)[:, 0]) - explained
        elsewhere = (points != reference).any(axis=1)
        return mean * elsewhere, np.sqrt(np.maximum(variance, 0.0)) * elsewhere
