import numpy as np
import pytest

from hyperrl_lab.results import read_episodes
from hyperrl_lab.studies.curves import area_under_curve, curves, return_at
from hyperrl_lab.studies.table import runs_table

EPISODES = {"env_steps": np.array([10, 30, 30, 60]), "return": np.array([2.0, 4.0, 6.0, 8.0])}


def test_the_score_at_a_time_is_that_of_the_episodes_ended_by_then():
    times = [0, 9, 10, 29, 30, 59, 60, 1_000]
    np.testing.assert_array_equal(return_at(EPISODES, times), [np.nan, np.nan, 2, 2, 4, 4, 5, 5])
    np.testing.assert_array_equal(return_at(EPISODES, times, window=2), [np.nan, np.nan, 2, 2, 5, 5, 7, 7])
    assert np.isnan(return_at({name: column[:0] for name, column in EPISODES.items()}, 5))


def test_the_area_weighs_each_score_by_the_time_that_it_held():
    # 2 for 20 steps, 4 for 30, 5 for 40.
    assert area_under_curve(EPISODES, 100) == pytest.approx((2 * 20 + 4 * 30 + 5 * 40) / 90)
    assert area_under_curve(EPISODES, 60) == pytest.approx((2 * 20 + 4 * 30) / 50)
    assert area_under_curve({name: column[:1] for name, column in EPISODES.items()}, 10) == 2
    assert area_under_curve({name: column[:0] for name, column in EPISODES.items()}, 10) is None


def test_runs_share_a_grid_and_are_unknown_where_they_have_not_been(leave_run, tmp_path):
    leave_run(tmp_path / "a", [1.0, 3.0, 5.0, 7.0])
    leave_run(tmp_path / "b", [10.0, 20.0])
    (leave_run(tmp_path / "c", [1.0]) / "episodes.parquet").unlink()
    grid, scores = curves(tmp_path, runs_table(tmp_path), points=4)
    np.testing.assert_array_equal(grid, [10, 20, 30, 40])
    np.testing.assert_array_equal(scores, [[1, 2, 3, 4], [10, 15, np.nan, np.nan], [np.nan] * 4])
    np.testing.assert_array_equal(scores[0], return_at(read_episodes(tmp_path / "a"), grid))
