import pytest

from hyperrl_env.search_space import BoundSearchSpace, SearchSpace
from hyperrl_lab.search.ranges import Range, check_choosable, ranges, run_keywords

DEFAULTS = {"learning_rate": 3e-4, "clip_range": 0.2, "batch_size": 64, "ent_coef": 0.0, "gamma": 0.99}


def ranges_of(space):
    return ranges(BoundSearchSpace(SearchSpace(space), "box", DEFAULTS, rollout_size=2048))


def test_a_range_is_the_one_given_even_without_the_tasks_own_value():
    found = ranges_of({"learning_rate": {"low": 1e-3, "high": 1e-2}, "clip_range": [0.3, 0.4]})
    assert (found["learning_rate"].low, found["learning_rate"].high) == (1e-3, 1e-2)
    assert found["learning_rate"].scale == "log"
    assert found["clip_range"] == Range(0.3, 0.4, "linear", False, (0.3, 0.4))


def test_multiples_are_values_at_the_runs_start():
    found = ranges_of(["learning_rate", "batch_size"])
    assert found["learning_rate"].values == pytest.approx((1.5e-4, 3e-4, 6e-4))
    assert found["batch_size"] == Range(32, 128, "log", True, (32, 64, 128))
    assert [type(value) for value in found["batch_size"].values] == [int] * 3


def test_a_range_from_zero_is_linear():
    assert ranges_of({"ent_coef": [0, 0.01]})["ent_coef"].scale == "linear"


@pytest.mark.parametrize(("value", "clamped"), [(200.4, 128), (1.0, 32), (77.6, 78)])
def test_whole_numbers_are_clamped_and_rounded(value, clamped):
    result = Range(32, 128, "log", True, (32, 128)).clamp(value)
    assert (result, type(result)) == (clamped, int)


def test_a_single_value_is_refused_and_the_others_are_named():
    found = ranges_of({"clip_range": [0.2], "gamma": [0.9, 0.99]})
    with pytest.raises(ValueError, match=r"one value of clip_range. It can choose: gamma\."):
        check_choosable("pbt", found)


def test_the_runs_are_continuous_and_decide_once_per_phase():
    assert run_keywords({"n_envs": 2}) == {"decision": "phase", "n_envs": 2, "action_mode": "box"}
    assert run_keywords({"decision": "update"})["decision"] == "update"
    with pytest.raises(ValueError, match="'box' in a search, not 'discrete'"):
        run_keywords({"action_mode": "discrete"})
