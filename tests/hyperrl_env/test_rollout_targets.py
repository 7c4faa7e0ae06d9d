"""Advantages and returns of a rollout by the definition, sum by sum."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.buffers import RolloutBuffer

from hyperrl_env.learners.fast.rollout import fast_targets
from hyperrl_env.learners.rollout_targets import (
    CollectedRollout,
    Discounts,
    RolloutTargets,
    Targets,
    sb3_targets,
)

T, N = 30, 3
BOX = gym.spaces.Box(-1, 1, (1,), np.float32)


@pytest.fixture
def rollout():
    rng = np.random.default_rng(0)
    dones = rng.random((T, N)) < 0.2
    cut = dones & (rng.random((T, N)) < 0.5)
    return CollectedRollout(
        rewards=rng.normal(size=(T, N)).astype(np.float32),
        dones=dones,
        values=rng.normal(size=(T, N)).astype(np.float32),
        time_limit_values=(cut * rng.normal(size=(T, N))).astype(np.float32),
        last_values=rng.normal(size=N).astype(np.float32),
    )


def by_definition(rollout, gamma, gae_lambda):
    """A_t = sum_k (gamma lambda)^k delta_{t+k} (Schulman et al. 2016, Eq. 16), to the episode's end.

    At a time limit the value of what was cut off stands for it.
    """
    advantages = np.zeros((T, N))
    for i in range(N):
        for t in range(T):
            weight = 1.0
            for k in range(t, T):
                following = rollout.last_values[i] if k == T - 1 else rollout.values[k + 1, i]
                if rollout.dones[k, i]:
                    following = rollout.time_limit_values[k, i]
                delta = rollout.rewards[k, i] + gamma * following - rollout.values[k, i]
                advantages[t, i] += weight * delta
                weight *= gamma * gae_lambda
                if rollout.dones[k, i]:
                    break
    return advantages


@pytest.mark.parametrize("discounts", [(0.9, 0.8), (0.5, 1.0), (1.0, 1.0), (0.99, 0.0), (0.0, 0.5)])
def test_both_ways_compute_the_definition(rollout, discounts):
    expected = by_definition(rollout, *discounts)
    buffer = RolloutBuffer(T, BOX, BOX, n_envs=N)
    before = dict(vars(buffer))
    for found in (
        sb3_targets(buffer, rollout, Discounts(*discounts)),
        fast_targets(rollout, Discounts(*discounts)),
    ):
        np.testing.assert_allclose(found.advantages, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.returns, expected + rollout.values, rtol=1e-4, atol=1e-5)
    assert vars(buffer) == before, "the buffer stays as it is"


def test_each_pair_is_computed_once_and_survives(rollout):
    first, second = Discounts(0.99, 0.95), Discounts(0.9, 0.95)
    asked = []

    def estimate(rollout, discounts):
        asked.append(discounts)
        return fast_targets(rollout, discounts)

    collected = Targets(np.ones((T, N)), np.zeros((T, N)))
    targets = RolloutTargets(rollout, first, collected)
    found = [targets.take(pair, estimate) for pair in (first, second, first, second)]
    assert asked == [second]
    assert found[0] is found[2] is collected
    again = RolloutTargets.from_state(targets.state_dict())
    assert again.in_force == second
    assert again.take(first, estimate) == collected
    np.testing.assert_array_equal(again.take(second, estimate), found[1])
