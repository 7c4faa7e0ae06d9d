import numpy as np
import pytest

from hyperrl_lab.summaries import SCORE_EPISODES, running_mean, score, windows


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


@pytest.mark.parametrize(("n", "expected"), [(0, None), (1, 0.0), (100, 49.5), (250, 199.5)])
def test_the_score_is_the_mean_of_the_last_hundred_and_the_curves_end(n, expected):
    values = [float(i) for i in range(n)]
    assert score(values) == expected
    if n:
        assert running_mean(np.array(values), SCORE_EPISODES)[-1] == pytest.approx(expected)


def test_windows_leave_out_what_could_not_act(synthetic_actions):
    columns = synthetic_actions(5, 101, ("learning_rate", "clip_range"))
    assert (columns["learning_rate"][-101:] == 0).all()
    for name in ("learning_rate", "clip_range"):
        values = windows(columns, name)
        np.testing.assert_array_equal(values.edges, 2048 * np.arange(5))
        assert (values.low > 0).all()
        by_phase = np.sort(columns[name].reshape(5, 101), axis=1)
        np.testing.assert_array_equal(values.median, by_phase[:4, 50])


def test_a_run_in_which_nothing_could_act_still_has_windows(synthetic_actions):
    columns = synthetic_actions(2, 50, ("learning_rate",))
    zeros = {name: values * 0 if "learning_rate" in name else values for name, values in columns.items()}
    assert windows(zeros, "learning_rate").median.tolist() == [0.0, 0.0]
