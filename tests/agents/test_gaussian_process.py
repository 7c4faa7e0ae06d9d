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


ONE = "a group"


def one_group(points, values):
    return GaussianProcess(points, values, [ONE] * len(values))


@pytest.mark.parametrize("seed", range(3))
def test_of_one_group_it_knows_what_scikit_learn_knows(seed):
    points, values = data(seed=seed)
    process = one_group(points, values)
    theirs = sklearns(points, values, process.kernel)
    assert process.log_likelihood == pytest.approx(theirs.log_marginal_likelihood_value_, abs=1e-8)
    new = np.random.default_rng(9).normal(size=(7, 4))
    signal = theirs.kernel_.k1
    mean = theirs.predict(new)
    # Of the function itself: scikit-learn counts the noise of new values in.
    known = np.linalg.solve(theirs.L_, signal(points, new))
    covariance = signal(new) - known.T @ known
    spread = np.sqrt(np.diag(covariance) + covariance[0, 0] - 2 * covariance[0])
    found_mean, found_spread = process.differences(new, new[:1], ONE)
    assert found_mean == pytest.approx(mean - mean[0], abs=1e-9)
    assert found_spread == pytest.approx(spread, abs=1e-6)


@pytest.mark.parametrize("group", ["a", "b", "another"])
def test_of_several_groups_it_is_the_posterior_of_the_covariance_written_out(group):
    """All points at once: k** - k* (K + noise)^-1 k*^T, with every entry of k from its definition."""
    points, values = data(n=40)
    groups = ["a"] * 25 + ["b"] * 15
    process = GaussianProcess(points, values, groups)
    signal, length, noise = process.kernel
    new = np.random.default_rng(9).normal(size=(5, 4))

    def k(p, q, group_p, group_q):
        common = 1.0 if group_p == group_q else 0.5
        return signal * math.exp(-np.sum((p - q) ** 2) / (2 * length**2)) * common

    known = list(zip(points, groups, strict=True))
    inner = np.array([[k(p, q, g, h) for q, h in known] for p, g in known])
    cross = np.array([[k(p, q, group, h) for q, h in known] for p in new])
    # Of a group without values only the shared function is asked for.
    own = 0.5 if group == "another" else 1.0
    prior = own * np.array([[k(p, q, group, group) for q in new] for p in new])
    inverse = np.linalg.inv(inner + noise * np.eye(40))
    mean, covariance = cross @ inverse @ values, prior - cross @ inverse @ cross.T
    expected = np.sqrt(np.diag(covariance) + covariance[0, 0] - 2 * covariance[0])
    found_mean, found_spread = process.differences(new, new[:1], group)
    assert found_mean == pytest.approx(mean - mean[0], abs=1e-9)
    assert found_spread == pytest.approx(expected, abs=1e-6)
    _, log_determinant = np.linalg.slogdet(inner + noise * np.eye(40))
    likelihood = -0.5 * (values @ inverse @ values + log_determinant + 40 * math.log(2 * math.pi))
    assert process.log_likelihood == pytest.approx(likelihood, abs=1e-8)


def test_what_all_groups_say_counts_in_a_new_one_and_what_one_says_counts_less():
    points = np.linspace(-1, 1, 30)[:, None]
    rising, falling = 2 * points[:, 0], -2 * points[:, 0]
    there, here = np.array([[1.0]]), np.array([[-1.0]])

    def difference(values_of_b, group):
        process = GaussianProcess(
            np.concatenate([points, points]), np.concatenate([rising, values_of_b]), ["a"] * 30 + ["b"] * 30
        )
        return process.differences(there, here, group)[0][0]

    assert difference(rising, "new") > 2.5
    assert abs(difference(falling, "new")) < 0.1
    assert difference(falling, "a") > 3
    assert difference(falling, "b") < -3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("noise", [0.1, 0.5, 1.2])
def test_the_kernel_of_the_grid_is_nearly_the_most_likely_one(noise):
    points, values = data(noise=noise, n=80)
    best = sklearns(points, values).log_marginal_likelihood_value_
    found = one_group(points, values).log_likelihood
    assert best - 0.2 < found < best + 1e-3


def test_a_single_value_by_hand():
    process = one_group(np.zeros((1, 1)), np.array([2.0]))
    signal, length, noise = process.kernel
    # One value of variance signal + noise: 4 is its most likely variance.
    assert signal + noise == pytest.approx(4.0, rel=0.1)
    one, far = 1.0, 100.0
    near = math.exp(-0.5 / length**2)
    mean, spread = process.differences(np.array([[one], [far]]), np.zeros((1, 1)), ONE)
    at_zero = 2.0 * signal / (signal + noise)
    assert mean == pytest.approx([at_zero * near - at_zero, -at_zero])
    explained = signal**2 * (near - 1.0) ** 2 / (signal + noise)
    assert spread[0] == pytest.approx(math.sqrt(2 * signal * (1 - near) - explained))
    assert spread[1] == pytest.approx(math.sqrt(2 * signal - signal**2 / (signal + noise)))


def test_of_the_reference_itself_nothing_is_in_doubt():
    points, values = data()
    process = one_group(points, values)
    for others in (np.zeros((0, 4)), np.random.default_rng(1).normal(size=(33, 4))):
        mean, spread = process.differences(np.concatenate([others, points[:1]]), points[:1], ONE)
        assert (mean[-1], spread[-1]) == (0.0, 0.0)
        assert (spread[:-1] > 0).all()


def test_a_kernel_is_a_covariance():
    kernel = Kernel(signal=2.0, length=0.5, noise=0.1)
    points = np.array([[0.0, 0.0], [0.3, 0.4]])
    near = 2 * math.exp(-0.5)
    assert kernel(points, points) == pytest.approx(np.array([[2.0, near], [near, 2.0]]))
