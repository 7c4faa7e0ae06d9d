"""The counters of a learning episode, and every row of what the end of an update phase means."""

import math
from dataclasses import FrozenInstanceError

import pytest

from hyperrl_env.episode import Episode, end_of_phase

# Every update refused, budget spent, phases left: terminated, truncated, run finished, reward.
ROWS = [
    # No update will ever succeed again: the run is over, whatever else is.
    ((True, False, 0), (True, False, True, "worst")),
    ((True, False, 2), (True, False, True, "worst")),
    ((True, False, None), (True, False, True, "worst")),
    ((True, True, 0), (True, False, True, "worst")),
    ((True, True, 2), (True, False, True, "worst")),
    ((True, True, None), (True, False, True, "worst")),
    # The budget cuts an episode short, be it in its last phase, which misses its environment phase.
    ((False, True, 0), (False, True, True, "none")),
    ((False, True, 1), (False, True, True, "none")),
    ((False, True, 7), (False, True, True, "none")),
    # An episode that is the whole run ends with it.
    ((False, True, None), (True, False, True, "none")),
    # An environment phase follows; with the episode's last one it is complete.
    ((False, False, 0), (True, False, False, "hyper_reward")),
    ((False, False, 1), (False, False, False, "hyper_reward")),
    ((False, False, 7), (False, False, False, "hyper_reward")),
    ((False, False, None), (False, False, False, "hyper_reward")),
]


@pytest.mark.parametrize(("given", "expected"), ROWS, ids=str)
def test_the_end_of_a_phase(given, expected):
    wholly_refused, budget_spent, phases_left = given
    found = end_of_phase(wholly_refused=wholly_refused, budget_spent=budget_spent, phases_left=phases_left)
    assert tuple(found) == expected


def test_two_phases_make_an_episode_of_two():
    episode = Episode.of_new_run(worst_reward=5.0).begin(2)
    assert (episode.phases_left, episode.over, episode.run_finished) == (2, False, False)
    end = episode.end(wholly_refused=False, budget_spent=False)
    assert tuple(end) == (False, False, False, "hyper_reward")
    episode = episode.after(end, 3.0)
    assert episode == Episode(phases_left=1, over=False, run_finished=False, worst_reward=3.0)
    end = episode.end(wholly_refused=False, budget_spent=False)
    assert tuple(end) == (True, False, False, "hyper_reward")
    episode = episode.after(end, 4.0)
    assert episode == Episode(phases_left=0, over=True, run_finished=False, worst_reward=3.0)
    assert episode.begin(2) == Episode(phases_left=2, over=False, run_finished=False, worst_reward=3.0)


def test_the_budget_ends_episode_and_run():
    episode = Episode.of_new_run().begin(3)
    end = episode.end(wholly_refused=False, budget_spent=True)
    assert tuple(end) == (False, True, True, "none")
    assert episode.after(end, 0.0) == Episode(phases_left=2, over=True, run_finished=True, worst_reward=0.0)


def test_an_episode_that_is_the_whole_run_counts_no_phases():
    episode = Episode.of_new_run().begin(None)
    episode = episode.after(episode.end(wholly_refused=False, budget_spent=False), -1.0)
    assert episode == Episode(phases_left=None, over=False, run_finished=False, worst_reward=-1.0)
    end = episode.end(wholly_refused=False, budget_spent=True)
    assert (end.terminated, end.truncated) == (True, False)


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_not_finite_is_worth_the_worst(reward):
    assert Episode.of_new_run(worst_reward=-7.0).finite(reward) == -7.0


def test_a_finite_reward_is_worth_itself():
    assert Episode.of_new_run(worst_reward=-7.0).finite(-9.0) == -9.0


def test_after_a_failed_phase_only_a_reset_can_follow():
    episode = Episode.of_new_run(worst_reward=2.0).begin(3).fail()
    assert episode == Episode(phases_left=3, over=True, run_finished=True, worst_reward=2.0)


def test_nothing_changes_an_episode_from_outside():
    with pytest.raises(FrozenInstanceError):
        Episode.of_new_run().over = True
