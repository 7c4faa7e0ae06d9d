"""Numbers worked out by hand, and rliable called directly."""

import math

import numpy as np
import pytest
from rliable import library, metrics

from hyperrl_lab.studies.statistics import (
    REPETITIONS,
    cohens_d,
    estimate,
    iqm,
    mean,
    median,
    performance_profile,
    probability_of_improvement,
)

# Eight runs of one task; six runs of three tasks.
ONE = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
MANY = np.random.default_rng(0).normal(size=(6, 3))
OTHER = np.random.default_rng(1).normal(0.3, size=(7, 3))


def test_statistics_of_one_task_worked_out_by_hand():
    # In order 1 1 2 3 4 5 6 9: a quarter is two runs.
    assert estimate(ONE, "iqm").value == (2 + 3 + 4 + 5) / 4
    assert estimate(ONE, "median").value == 3.5
    assert estimate(ONE, "mean").value == 31 / 8
    # Of five runs a quarter is one run.
    assert estimate([0.0, 1.0, 2.0, 6.0, 99.0], "iqm").value == 3


def test_statistics_of_several_tasks_worked_out_by_hand():
    scores = np.array([[1.0, 10.0, 5.0], [3.0, 30.0, 8.0]])
    assert median(scores) == 6.5
    assert mean(scores) == (2 + 20 + 6.5) / 3
    # In order 1 3 5 8 10 30: a quarter is one run.
    assert iqm(scores) == (3 + 5 + 8 + 10) / 4


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("iqm", metrics.aggregate_iqm),
        ("median", metrics.aggregate_median),
        ("mean", metrics.aggregate_mean),
    ],
)
def test_estimates_agree_with_rliable(name, function):
    found = estimate(MANY, name)
    np.random.seed(0)
    values, intervals = library.get_interval_estimates(
        {"x": MANY}, lambda scores: np.array([function(scores)]), reps=REPETITIONS
    )
    assert found.value == pytest.approx(values["x"][0], abs=1e-12)
    np.testing.assert_allclose([found.low, found.high], intervals["x"][:, 0], atol=1e-12)
    assert found.seeds == 6


def test_the_probability_of_improvement_agrees_with_rliable(monkeypatch):
    # Rliable's own function takes a millisecond per resample.
    monkeypatch.setattr("hyperrl_lab.studies.statistics.REPETITIONS", 200)
    found = probability_of_improvement(MANY, OTHER)
    np.random.seed(0)
    values, intervals = library.get_interval_estimates(
        {"x": [MANY, OTHER]},
        lambda x, y: np.array([metrics.probability_of_improvement(x, y)]),
        reps=200,
    )
    assert found.value == pytest.approx(values["x"][0], abs=1e-12)
    np.testing.assert_allclose([found.low, found.high], intervals["x"][:, 0], atol=1e-12)


def test_the_probability_of_improvement_worked_out_by_hand():
    # 2 beats 1 and ties with 2; 3 beats both: 1 + 1/2 + 1 + 1 of 4 pairs.
    assert probability_of_improvement([2.0, 3.0], [1.0, 2.0]).value == 3.5 / 4
    assert probability_of_improvement([1.0, 2.0, 5.0], [1.0, 2.0, 5.0]).value == 0.5
    assert probability_of_improvement([4.0], [1.0, 2.0, 5.0]).value == pytest.approx(2 / 3)
    # The mean over the tasks.
    assert probability_of_improvement([[1.0, 0.0]], [[0.0, 0.0]]).value == 0.75


def test_profiles_agree_with_rliable():
    thresholds = np.linspace(-2, 2, 9)
    found = performance_profile(MANY, thresholds)
    np.random.seed(0)
    shares, bands = library.create_performance_profile({"x": MANY}, thresholds, reps=REPETITIONS)
    np.testing.assert_allclose(found.value, shares["x"])
    np.testing.assert_allclose([found.low, found.high], bands["x"])
    np.testing.assert_array_equal(performance_profile(ONE, [0, 1, 5, 9]).value, [1, 6 / 8, 2 / 8, 0])


def test_a_curve_is_estimated_point_by_point():
    curves = np.random.default_rng(2).normal(size=(6, 2, 4))
    found = estimate(curves)
    np.random.seed(0)
    values, intervals = library.get_interval_estimates(
        {"x": curves},
        lambda scores: np.array([metrics.aggregate_iqm(scores[..., point]) for point in range(4)]),
        reps=REPETITIONS,
    )
    np.testing.assert_allclose(found.value, values["x"])
    np.testing.assert_allclose([found.low, found.high], intervals["x"])


def test_cohens_d_by_its_formula():
    ours, theirs = [1.0, 2.0, 3.0, 6.0], [0.0, 1.0, 2.0]
    # Means 3 and 1; sums of squares 14 and 2; 5 degrees of freedom.
    assert cohens_d(ours, theirs) == pytest.approx(2 / math.sqrt(16 / 5))
    assert cohens_d(theirs, ours) == -cohens_d(ours, theirs)
    assert math.isnan(cohens_d([1.0], theirs))
    assert math.isnan(cohens_d([1.0, 1.0], [2.0, 2.0]))
    # The mean of three times 0.1 is not 0.1.
    assert math.isnan(cohens_d([0.1] * 3, [0.2] * 3))
    assert cohens_d([0.1, 0.1 + 1e-9], [0.2, 0.2 + 1e-9]) < -1e6


def test_below_five_seeds_there_is_no_interval():
    for scores in ([1.0], [1.0, 2.0, 3.0, 4.0]):
        found = estimate(scores)
        assert found.low is found.high is None
        assert found.seeds == len(scores)
    found = probability_of_improvement([1.0, 2.0, 3.0, 4.0], ONE)
    assert found.low is found.high is None
    assert found.seeds == 4
    assert estimate([1.0, 2.0, 3.0, 4.0, 5.0]).low is not None


def test_an_interval_is_the_same_twice_and_disturbs_no_generator():
    before = np.random.get_state()[1].copy(), np.random.get_state()[2]
    first = estimate(ONE)
    np.random.rand(10)
    after_drawing = np.random.get_state()[1].copy(), np.random.get_state()[2]
    assert estimate(ONE) == first
    now = np.random.get_state()[1], np.random.get_state()[2]
    np.testing.assert_array_equal(now[0], after_drawing[0])
    assert now[1] == after_drawing[1] != before[1]
    assert first.low < first.value < first.high


def test_scores_that_are_missing_are_refused():
    for scores in ([], [math.nan, 1.0], 3.0):
        with pytest.raises(ValueError, match="finite numbers"):
            estimate(scores)
    with pytest.raises(ValueError, match="2 and of 3 tasks"):
        probability_of_improvement(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="Did you mean 'median'"):
        estimate(ONE, "medain")
