"""What the end of a phase reports, of phases made by hand."""

import math

import numpy as np

from hyperrl_env import DIAGNOSTICS, EnvironmentPhase
from hyperrl_env.info import phase_info

NUMBERS = np.arange(len(DIAGNOSTICS), dtype=np.float32)
NAMED = {name: float(index) for index, name in enumerate(DIAGNOSTICS)}


def phase(returns=(), lengths=(), reward=1.0):
    return EnvironmentPhase(
        rewards=np.full((2, 1), reward),
        dones=np.array([[False], [True]]),
        value_targets=np.full((2, 1), 0.5),
        episode_returns=returns,
        episode_lengths=lengths,
        last_episode_return=7.0,
        gamma=0.5,
    )


def test_every_hyper_reward_and_the_statistics():
    assert phase_info({"loss": 0.25}, phase((3.0, 5.0), (2, 4)), NUMBERS) == {
        "discounted_return": (1 + 0.5 + 1) / 2,
        "episode_return": 4.0,
        "value_target": 0.5,
        "improvement": 0.0,
        "phase_stats": {"returns": [3.0, 5.0], "lengths": [2, 4], "loss": 0.25},
        "diagnostics": NAMED,
    }


def test_without_an_environment_phase_only_the_statistics():
    assert phase_info({"loss": None}, None, NUMBERS) == {
        "phase_stats": {"returns": [], "lengths": [], "loss": None},
        "diagnostics": NAMED,
    }


def test_what_is_not_finite_is_left_out_or_none():
    found = phase_info({}, phase((math.nan, 5.0, math.inf), (2, 4, 6), reward=math.inf), NUMBERS)
    assert found["discounted_return"] is None
    assert found["phase_stats"] == {"returns": [5.0], "lengths": [4]}
