import numpy as np
import pytest

from hyperrl_lab.summaries import running_mean, windows


@pytest.mark.parametrize("n", [1, 2, 10, 33])
@pytest.mark.parametrize("window", [1, 3, 10])
def test_running_mean_is_the_mean_of_the_last(n, window):
    values = np.random.default_rng(0).normal(size=n)
    expected = [values[max(0, i + 1 - window) : i + 1].mean() for i in range(n)]
    np.testing.assert_allclose(running_mean(values, window), expected)


def test_a_window_is_a_phase_where_phases_hold_many_choices(synthetic_actions):
    columns = synthetic_actions(7, 101, ("clip_range",))
    values = windows(columns, "clip_range")
    by_phase = np.sort(columns["clip_range"].reshape(7, 101), axis=1)
    np.testing.assert_array_equal(values.edges, 2048 * np.arange(8))
    np.testing.assert_array_equal(values.low, by_phase[:, 10])
    np.testing.assert_array_equal(values.median, by_phase[:, 50])
    np.testing.assert_array_equal(values.high, by_phase[:, 90])
    np.testing.assert_array_equal(values.default, np.full(7, 0.2))


@pytest.mark.parametrize(
    ("phases", "updates", "expected"),
    [(1, 1, 1), (20, 1, 20), (100, 1, 20), (4_000, 1, 100), (62_500, 1, 200), (488, 320, 163)],
)
def test_long_runs_are_summed_up_in_windows(phases, updates, expected, synthetic_actions):
    values = windows(synthetic_actions(phases, updates, ("clip_range",)), "clip_range")
    assert len(values.median) == len(values.edges) - 1 == expected
    assert (np.diff(values.edges) > 0).all()
    assert values.edges[-1] == 2048 * phases
