"""LRRL: its formulas by hand, its Exp3 on problems whose best arm is known, its agent on a run."""

import math

import numpy as np
import pytest

import agents
from agents.lrrl import improvement, probabilities, scaled, updated_weights


def test_the_formulas_by_hand():
    assert probabilities(np.array([0.0, math.log(2), math.log(5)])) == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    # As large as weights may become, they do not overflow.
    assert probabilities(np.array([1000.0, 0.0])).tolist() == [1.0, 0.0]
    assert improvement(10.0, [1.0, 2.0, 6.0]) == pytest.approx(7.0)
    assert improvement(10.0, []) == 0.0
    assert [scaled(2.0, [-8.0, 1.0]), scaled(-3.0, []), scaled(0.0, [0.0])] == [0.25, -1.0, 0.0]
    weights = np.log([1.0, 3.0])
    expected = [0.5 * math.log(1), 0.5 * math.log(3) + 0.2 * -0.6 / 0.75]
    assert updated_weights(weights, arm=1, feedback=-0.6, rate=0.2, decay=0.5) == pytest.approx(expected)


def test_the_estimate_is_unbiased():
    """On average over the arms drawn, every arm's weight grows by alpha times its own feedback."""
    weights, feedback = np.array([0.3, -1.0, 0.8]), np.array([0.1, 0.7, -0.5])
    steps = [updated_weights(weights, k, feedback[k], rate=0.2, decay=1.0) - weights for k in range(3)]
    assert probabilities(weights) @ np.array(steps) == pytest.approx(0.2 * feedback)


def regrets(mean, steps, seed, decay, rate=0.5):
    """What Exp3 missed, step by step, where arm k has the mean return `mean(t, k)`, k = 0, 1, 2."""
    rng, weights, missed = np.random.default_rng(seed), np.zeros(3), []
    returns, improvements = [], []
    for t in range(steps):
        means, arm = [mean(t, k) for k in range(3)], int(rng.choice(3, p=probabilities(weights)))
        value = means[arm] + 0.5 * rng.standard_normal()
        found = improvement(value, returns)
        weights = updated_weights(weights, arm, scaled(found, improvements), rate, decay)
        returns, improvements = [*returns, value][-10:], [*improvements, found][-10:]
        missed.append(max(means) - means[arm])
    return np.array(missed)


def test_the_regret_is_sublinear_on_a_stationary_bandit():
    """Uniform choice would miss 0.5 per step. Returns rise slowly, whatever is chosen."""
    runs = [regrets(lambda t, k: 0.02 * t + 0.5 * k, 400, s, decay=1.0, rate=0.2) for s in range(10)]
    missed = np.mean(runs, axis=0)
    assert missed[:50].mean() < 0.4
    assert missed[200:].mean() < 0.25 * missed[:50].mean()


def test_decay_finds_the_best_arm_anew_after_a_switch():
    def mean(t, k):
        return 0.5 * (k if t < 200 else 2 - k)

    forgets = np.mean([regrets(mean, 400, seed, decay=0.95)[250:].mean() for seed in range(10)])
    remembers = np.mean([regrets(mean, 400, seed, decay=1.0)[250:].mean() for seed in range(10)])
    assert forgets < 0.25
    assert forgets < 0.5 * remembers


def test_the_return_goes_to_the_rate_that_caused_it(make_env):
    env = make_env("PPO", total_env_steps=160, **agents.env_kwargs("lrrl"))
    agent = agents.make("lrrl", env, seed=0)
    weights, past, improvements = np.zeros(5), [], []

    def check(step):
        nonlocal weights
        arm = env.search_space.joint_index(step.action)
        if not step.next_info["run_finished"]:
            found = improvement(step.reward, past)
            weights = updated_weights(weights, arm, scaled(found, improvements), rate=0.5, decay=0.95)
            past.append(step.reward)
            improvements.append(found)
        np.testing.assert_array_equal(agent.weights, weights)

    agents.run(env, agent, seed=0, callback=check)
    assert len(past) == 9


@pytest.mark.parametrize(
    ("env", "kwargs", "message"),
    [
        ({"search_space": ["learning_rate", "gamma"]}, {}, "can handle learning_rate, .* has gamma besides"),
        ({"search_space": ["gamma"]}, {}, r'Give search_space={"learning_rate": \.\.\.}'),
        ({"search_space": ["learning_rate"]}, {"rate": 0}, "rate must be a finite number above 0"),
        ({"search_space": ["learning_rate"]}, {"decay": 1.5}, r"decay must be a number in \[0, 1\]"),
        ({"search_space": ["learning_rate"]}, {"window": 0}, "window must be a whole number"),
    ],
)
def test_what_it_cannot_handle_is_refused(make_env, env, kwargs, message):
    with pytest.raises(ValueError, match=message):
        agents.make("lrrl", make_env(**env), **kwargs)
