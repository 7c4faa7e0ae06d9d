import numpy as np
import pytest

from hyperrl_lab.summaries import SCORE_EPISODES, quantiles, running_mean, score, shares


@pytest.mark.parametrize("n", [1, 2, 10, 33])
@pytest.mark.parametrize("window", [1, 3, 10])
def test_running_mean_is_the_mean_of_the_last(n, window):
    values = np.random.default_rng(0).normal(size=n)
    expected = [values[max(0, i + 1 - window) : i + 1].mean() for i in range(n)]
    np.testing.assert_allclose(running_mean(values, window), expected)


def made_up(phases, name, values, defaults):
    """Columns of a run of four updates per phase: a row of values per phase, and the task's own per phase."""
    phase = np.repeat(np.arange(phases), 4)
    return {
        "env_steps": 100 * (phase + 1),
        "phase": phase,
        name: np.array(values, dtype=float).ravel(),
        f"default.{name}": np.repeat(defaults, 4).astype(float),
    }


def test_shares_count_the_choices_of_a_phase():
    values = [[0.1, 0.1, 0.2, 0.5], [0.1, 0.1, 0.1, 0.1]]
    found = shares(made_up(2, "clip_range", values, [0.2, 0.2]), "clip_range")
    assert found.levels.tolist() == [0.1, 0.2, 0.5]
    assert (found.relative, found.own, found.moves) == (False, 1, False)
    assert found.edges.tolist() == [0, 100, 200]
    assert found.share.T.tolist() == [[0.5, 0.25, 0.25], [1, 0, 0]]


def test_the_tasks_own_value_has_a_row_even_if_it_was_never_chosen():
    found = shares(made_up(1, "clip_range", [[0.1, 0.1, 0.5, 0.5]], [0.2]), "clip_range")
    assert found.levels.tolist() == [0.1, 0.2, 0.5]
    assert found.own == 1
    assert found.share[:, 0].tolist() == [0.5, 0, 0.5]


def test_multiples_of_a_value_that_decays_are_levels():
    third = 1 / 3
    defaults = [3e-4, 1.7e-4, 1e-5]
    values = [[third * d, third * d, d, 2 * d] for d in defaults[:2]] + [[2 * 1e-5] * 4]
    found = shares(made_up(3, "learning_rate", values, defaults), "learning_rate")
    np.testing.assert_allclose(found.levels, [third, 1, 2], rtol=1e-5)
    assert (found.relative, found.own, found.moves) == (True, 1, False)
    assert found.share.T.tolist() == [[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0, 0, 1]]


def test_all_multiples_of_zero_are_zero_so_that_no_choice_is_seen():
    found = shares(made_up(2, "clip_range", [[1, 2, 2, 4], [0] * 4], [2, 0]), "clip_range")
    assert found.levels.tolist() == [0.5, 1, 2]
    assert found.share[:, 0].tolist() == [0.25, 0.5, 0.25]
    assert np.isnan(found.share[:, 1]).all()


def test_constant_values_beside_one_that_decays():
    values = [[0.1, 0.2, 0.3, 0.3], [0.05, 0.05, 0.2, 0.3], [0, 0, 0.2, 0.3]]
    found = shares(made_up(3, "clip_range", values, [0.1, 0.05, 0]), "clip_range")
    assert found.levels.tolist() == [0.1, 0.2, 0.3]
    assert (found.relative, found.own, found.moves) == (False, 0, True)
    assert found.share.T.tolist() == [[0.25, 0.25, 0.5], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]


def test_a_window_is_a_phase_where_phases_hold_many_choices(synthetic_actions):
    columns = synthetic_actions(7, 101, ("clip_range",))
    values = quantiles(columns, "clip_range")
    by_phase = np.sort(columns["clip_range"].reshape(7, 101), axis=1)
    np.testing.assert_array_equal(values.edges, 2048 * np.arange(8))
    np.testing.assert_array_equal(values.low, by_phase[:, 10])
    np.testing.assert_array_equal(values.median, by_phase[:, 50])
    np.testing.assert_array_equal(values.high, by_phase[:, 90])
    np.testing.assert_array_equal(values.default, np.full(7, 0.2))
    assert not values.relative


def test_quantiles_of_multiples_of_a_value_that_decays():
    values = [[2, 4, 6, 8], [0.5, 1, 1.5, 2], [0] * 4]
    found = quantiles(made_up(3, "clip_range", values, [4, 1, 0]), "clip_range")
    assert found.relative
    np.testing.assert_array_equal(found.low, [0.5, 0.5, np.nan])
    np.testing.assert_array_equal(found.median, [1, 1, np.nan])
    np.testing.assert_array_equal(found.high, [2, 2, np.nan])
    np.testing.assert_array_equal(found.default, np.ones(3))


def test_quantiles_of_constant_values_beside_one_that_decays():
    found = quantiles(made_up(2, "learning_rate", [[1, 2, 3, 4]] * 2, [4, 0.1]), "learning_rate")
    assert not found.relative
    np.testing.assert_array_equal(found.high, [4, 4])
    np.testing.assert_array_equal(found.default, [4, 0.1])


@pytest.mark.parametrize(
    ("phases", "updates", "expected"),
    [(1, 1, 1), (20, 1, 20), (100, 1, 20), (4_000, 1, 100), (62_500, 1, 200), (488, 320, 163)],
)
def test_long_runs_are_summed_up_in_windows(phases, updates, expected, synthetic_actions):
    found = shares(synthetic_actions(phases, updates, ("clip_range",)), "clip_range")
    assert found.share.shape[1] == len(found.edges) - 1 == expected
    np.testing.assert_allclose(found.share.sum(axis=0), 1)
    assert (np.diff(found.edges) > 0).all()
    assert found.edges[-1] == 2048 * phases


def test_fewer_windows_and_values_in_place_of_multiples(synthetic_actions):
    columns = synthetic_actions(488, 320, ("learning_rate",))
    assert len(shares(columns, "learning_rate", 20).edges) <= 21
    assert len(quantiles(columns, "learning_rate", 20).median) <= 20
    found = quantiles(columns, "learning_rate", multiples=False)
    assert (found.relative, found.default.max()) == (False, pytest.approx(3e-4, rel=0.01))


def test_the_mean_of_a_window_is_geometric_where_that_can_be():
    found = quantiles(made_up(2, "clip_range", [[1, 1, 4, 4], [2, 2, 2, 2]], [1, 1]), "clip_range")
    np.testing.assert_allclose(found.mean, [2, 2])
    found = quantiles(made_up(2, "ent_coef", [[0, 0, 1, 3], [2, 2, 2, 2]], [1, 1]), "ent_coef")
    np.testing.assert_allclose(found.mean, [1, 2])


@pytest.mark.parametrize(("n", "expected"), [(0, None), (1, 0.0), (100, 49.5), (250, 199.5)])
def test_the_score_is_the_mean_of_the_last_hundred_and_the_curves_end(n, expected):
    values = [float(i) for i in range(n)]
    assert score(values) == expected
    if n:
        assert running_mean(np.array(values), SCORE_EPISODES)[-1] == pytest.approx(expected)


def test_what_could_not_act_is_left_out(synthetic_actions):
    columns = synthetic_actions(5, 101, ("learning_rate", "clip_range"))
    assert (columns["learning_rate"][-101:] == 0).all()
    for name, unit in (("learning_rate", columns["default.learning_rate"]), ("clip_range", np.ones(505))):
        found, counted = quantiles(columns, name), shares(columns, name)
        np.testing.assert_array_equal(found.edges, 2048 * np.arange(5))
        np.testing.assert_array_equal(counted.edges, found.edges)
        np.testing.assert_allclose(counted.share.sum(axis=0), np.ones(4))
        by_phase = np.sort((columns[name][:404] / unit[:404]).reshape(4, 101), axis=1)
        np.testing.assert_array_equal(found.median, by_phase[:, 50])


def test_a_run_in_which_nothing_could_act_still_has_windows(synthetic_actions):
    columns = synthetic_actions(2, 50, ("learning_rate",))
    zeros = {name: values * 0 if "learning_rate" in name else values for name, values in columns.items()}
    assert quantiles(zeros, "learning_rate").median.tolist() == [0.0, 0.0]
    assert shares(zeros, "learning_rate").share.tolist() == [[1.0, 1.0]]
