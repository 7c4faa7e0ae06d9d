"""ULTHO: its bounds by hand, its bandits on problems whose best arm is known, its agent on a run."""

import math

import numpy as np
import pytest

import agents
from agents.ultho import WindowedBandit, upper_confidence_bounds


def test_the_bounds_by_hand():
    bounds = upper_confidence_bounds(np.array([2.0, 0.5, 0.0]), np.array([4, 2, 1]), t=5, c=5.0)
    expected = [
        2 + 5 * math.sqrt(math.log(5) / 4),
        0.5 + 5 * math.sqrt(math.log(5) / 2),
        5 * math.sqrt(math.log(5)),
    ]
    assert bounds == pytest.approx(expected)


def test_a_value_is_the_mean_of_the_last_returns_alone():
    bandit = WindowedBandit(2, c=1.0, window=3)
    for value in (100.0, 1.0, 2.0, 6.0):
        bandit.learn(1, value)
    assert bandit.means.tolist() == [0.0, 3.0]
    # The counts are of all returns, from 1.
    assert bandit.counts.tolist() == [1, 5]
    assert bandit.t == 5


def regrets(mean, steps, seed, c=1.0, window=10):
    """What the bandit missed, step by step, where arm k has the mean reward `mean(t, k)`, k = 0, 1, 2."""
    rng, bandit = np.random.default_rng(seed), WindowedBandit(3, c, window)
    missed = []
    for t in range(steps):
        means, arm = [mean(t, k) for k in range(3)], bandit.choose(rng)
        bandit.learn(arm, means[arm] + 0.2 * rng.standard_normal())
        missed.append(max(means) - means[arm])
    return np.array(missed)


def test_the_regret_falls_on_a_stationary_bandit():
    """Uniform choice would miss 0.5 per step."""
    missed = np.mean([regrets(lambda t, k: 0.5 * k, 400, seed) for seed in range(5)], axis=0)
    assert missed[:50].mean() < 0.35
    assert missed[300:].mean() < 0.5 * missed[:50].mean()


def test_the_window_forgets_what_an_arm_was_worth_before_a_switch():
    def mean(t, k):
        return [0.0, 0.5, 1.0 if t < 200 else 0.0][k]

    windowed = np.mean([regrets(mean, 400, seed)[210:].mean() for seed in range(5)])
    remembers_all = np.mean([regrets(mean, 400, seed, window=400)[210:].mean() for seed in range(5)])
    # Uniform choice would miss 0.33 per step.
    assert windowed < 0.1
    assert windowed < 0.5 * remembers_all


SPACE = {"learning_rate": [1e-4, 3e-4], "clip_range": [0.1, 0.2, 0.3]}


def test_one_hyperparameter_changes_per_phase_and_the_return_goes_to_what_caused_it(make_env):
    env = make_env("PPO", total_env_steps=160, search_space=SPACE, decision="phase")
    agent = agents.make("ultho", env, seed=1)
    credited, before = [], dict(zip(SPACE, agent.held, strict=True))

    def check(step):
        nonlocal before
        now = dict(zip(SPACE, agent.held, strict=True))
        assert sum(now[name] != before[name] for name in SPACE) <= 1
        before = now
        if not step.next_info["run_finished"]:
            credited.append((agent._cluster, agent.held[agent._cluster], step.reward))

    agents.run(env, agent, seed=0, callback=check)
    assert len(credited) == 9
    for cluster, arms in enumerate(agent.arms):
        for arm, returns in enumerate(arms.returns):
            own = [r for c, a, r in credited if (c, a) == (cluster, arm)]
            assert returns == own[-10:]
            assert arms.counts[arm] == 1 + len(own)
    assert agent.clusters.counts.tolist() == [1 + sum(c == i for c, *_ in credited) for i in range(2)]


def test_the_command_line_gives_it_returns_on_normalised_rewards():
    assert agents.env_kwargs("ultho") == {"decision": "phase", "hyper_reward": "value_target"}


@pytest.mark.parametrize("kwargs", [{"c": 0}, {"c": math.nan}, {"window": 0}])
def test_impossible_settings_are_refused(make_env, kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        agents.make("ultho", make_env(), **kwargs)
