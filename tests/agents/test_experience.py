"""What agents ask of experience: the lines of runs, all runs of several parts, outcomes that compare."""

import numpy as np
import pytest

from agents.experience import Experience, merged


def test_the_line_of_a_run(past_run):
    progress = np.arange(1, 5) / 5
    run = past_run(learning_rate=[0, *(0.5 + 2.0 * (progress - 0.5))], clip_range=[0] * 5)
    assert run.line("learning_rate") == pytest.approx((0.5, 2.0), abs=1e-6)
    assert run.changed == ["learning_rate"]


def test_merging(past_run):
    a, b, c = past_run("a"), past_run("b"), past_run("c")
    both = merged([Experience("PPO", [a, b]), Experience("PPO", [b, c])])
    assert [run.run for run in both.runs] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="kept apart"):
        merged([Experience("PPO", [a]), Experience("A2C", [b])])


def test_a_group_that_says_nothing_has_no_standardised_outcome(past_run):
    runs = [past_run("a", 1.0), past_run("b", 3.0), past_run("c", 5.0, phases=6)]
    assert Experience("PPO", runs).standardised() == [-1.0, 1.0, None]
    assert Experience("PPO", [past_run("a", 1.0), past_run("b", 1.0)]).standardised() == [None, None]
