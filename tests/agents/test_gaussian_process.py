"""The Gaussian process beside scikit-learn's, and beside numbers worked out by hand."""

import math

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from agents.gaussian_process import GaussianProcess, Kernel


def data(n=60, dimensions=4, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, dimensions))
    return points, np.sin(points[:, 0]) + 0.5 * points[:, 1] + noise * rng.normal(size=n)


def sklearns(points, values, kernel=None):
    """Scikit-learn's with this kernel; without one, with the most likely within the grid's bounds."""
    signal, length, noise = kernel or (1.0, 1.0, 0.5)
    own = ConstantKernel(signal, (0.05, 5.0)) * RBF(length, (0.4, 2.5)) + WhiteKernel(noise, (0.02, 2.0))
    optimizer = None if kernel else "fmin_l_bfgs_b"
    return GaussianProcessRegressor(own, alpha=0.0, optimizer=optimizer).fit(points, values)


@pytest.mark.parametrize("seed", range(3))
def test_what_it_knows_is_what_scikit_learn_knows(seed):
    points, values = data(seed=seed)
    process = GaussianProcess(points, values)
    theirs = sklearns(points, values, process.kernel)
    assert process.log_likelihood == pytest.approx(theirs.log_marginal_likelihood_value_, abs=1e-8)
    new = np.random.default_rng(9).normal(size=(7, 4))
    signal = theirs.kernel_.k1
    mean = theirs.predict(new)
    # Of the function itself: scikit-learn counts the noise of new values in.
    known = np.linalg.solve(theirs.L_, signal(points, new))
    covariance = signal(new) - known.T @ known
    spread = np.sqrt(np.diag(covariance) + covariance[0, 0] - 2 * covariance[0])
    found_mean, found_spread = process.differences(new, new[:1])
    assert found_mean == pytest.approx(mean - mean[0], abs=1e-9)
    assert found_spread == pytest.approx(spread, abs=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("noise", [0.1, 0.5, 1.2])
def test_the_kernel_of_the_grid_is_nearly_the_most_likely_one(noise):
    points, values = data(noise=noise, n=80)
    best = sklearns(points, values).log_marginal_likelihood_value_
    found = GaussianProcess(points, values).log_likelihood
    assert best - 0.2 < found < best + 1e-3


def test_a_single_value_by_hand():
    process = GaussianProcess(np.zeros((1, 1)), np.array([2.0]))
    signal, length, noise = process.kernel
    # One value of variance signal + noise: 4 is its most likely variance.
    assert signal + noise == pytest.approx(4.0, rel=0.1)
    one, far = 1.0, 100.0
    near = math.exp(-0.5 / length**2)
    mean, spread = process.differences(np.array([[one], [far]]), np.zeros((1, 1)))
    at_zero = 2.0 * signal / (signal + noise)
    assert mean == pytest.approx([at_zero * near - at_zero, -at_zero])
    explained = signal**2 * (near - 1.0) ** 2 / (signal + noise)
    assert spread[0] == pytest.approx(math.sqrt(2 * signal * (1 - near) - explained))
    assert spread[1] == pytest.approx(math.sqrt(2 * signal - signal**2 / (signal + noise)))


def test_of_the_reference_itself_nothing_is_in_doubt():
    points, values = data()
    process = GaussianProcess(points, values)
    for others in (np.zeros((0, 4)), np.random.default_rng(1).normal(size=(33, 4))):
        mean, spread = process.differences(np.concatenate([others, points[:1]]), points[:1])
        assert (mean[-1], spread[-1]) == (0.0, 0.0)
        assert (spread[:-1] > 0).all()


def test_a_kernel_is_a_covariance():
    kernel = Kernel(signal=2.0, length=0.5, noise=0.1)
    points = np.array([[0.0, 0.0], [0.3, 0.4]])
    assert kernel(points, points) == pytest.approx(
        np.array([[2.0, 2 * math.exp(-0.5)], [2 * math.exp(-0.5), 2.0]])
    )
