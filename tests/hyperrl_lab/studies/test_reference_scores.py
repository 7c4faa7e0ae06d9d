import pytest

from hyperrl_env import TASKS
from hyperrl_lab.studies.reference_scores import REFERENCE_SCORES, random_policy_score


def test_every_task_that_is_not_a_game_has_reference_scores():
    others = {name for name, task in TASKS.items() if task.family != "atari"}
    assert others <= set(REFERENCE_SCORES) <= set(TASKS)
    for reference in REFERENCE_SCORES.values():
        assert reference.low < reference.high
        assert reference.source
        assert reference.normalised([reference.low, reference.high]).tolist() == [0, 1]


def test_a_low_score_can_be_measured_again():
    low = REFERENCE_SCORES["CartPole"].low
    assert random_policy_score(TASKS["CartPole"].env_id) == pytest.approx(low, abs=0.005)
