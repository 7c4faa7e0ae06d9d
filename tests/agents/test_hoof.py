"""HOOF: its formulas by hand, and the learning rates that it finds where the best one is known."""

import numpy as np
import pytest

import agents
from agents.hoof import (
    accepted,
    adapted_bound,
    effective_sample_size,
    normalised_weights,
    rollout_returns,
    wis_estimates,
)

# ---------------------------------------------------------------------- formulas


def test_returns_are_scaled_rewards_and_the_value_of_what_follows():
    """Rewards from -1 to 3, so that 0 is 0.25 and 1 is 0.5; the second environment ends with its episode."""
    rewards = np.array([[-1.0, 3.0], [1.0, 0.0]])
    dones = np.array([[True, False], [False, True]])
    found = rollout_returns(rewards, dones, np.array([10.0, 20.0]))
    np.testing.assert_allclose(found, [0 + 0.5 + 10, 1 + 0.25])


def test_constant_rewards_count_for_nothing():
    np.testing.assert_array_equal(
        rollout_returns(np.full((2, 2), 5.0), np.zeros((2, 2), bool), np.array([1.0, 2.0])), [1, 2]
    )


def test_weighted_importance_sampling_by_hand():
    """Ratios over the two steps: 2 * 1.5 = 3 and 0.5 * 2 = 1, returns 1 and 5."""
    ratios = np.array([[[2.0, 0.5], [1.5, 2.0]], [[1.0, 1.0], [1.0, 1.0]]])
    weights = normalised_weights(np.log(ratios))
    np.testing.assert_allclose(weights, [[0.75, 0.25], [0.5, 0.5]])
    np.testing.assert_allclose(wis_estimates(weights, np.array([1.0, 5.0])), [(3 + 5) / 4, 3])
    # (3 + 1)^2 / (9 + 1), and all of both where nothing has changed.
    np.testing.assert_allclose(effective_sample_size(weights), [1.6, 2.0])


def test_weights_do_not_overflow():
    weights = normalised_weights(np.array([[[2000.0, 1999.0]]]))
    np.testing.assert_allclose(weights, [[1 / (1 + np.exp(-1)), 1 / (1 + np.e)]])


def test_candidates_too_far_away_are_rejected_but_never_the_smallest():
    np.testing.assert_array_equal(
        accepted(np.array([0.5, 0.029, 0.03, np.nan]), 0.03), [True, True, False, False]
    )


@pytest.mark.parametrize(
    ("rejected", "bound"), [(0.0, 0.0125), (0.01, 0.01), (0.8, 0.01), (0.81, 0.008), (1.0, 0.008)]
)
def test_the_bound_adapts_to_how_many_are_rejected(rejected, bound):
    assert adapted_bound(0.01, rejected) == pytest.approx(bound)


# ---------------------------------------------------------------------- a problem with a known answer


def test_it_steps_to_the_best_policy_that_the_trust_region_holds(means_on_target):
    """Of a Gaussian of variance 1 the divergence is half the squared step: a step below sqrt(2 * 0.03)."""
    means, seen = means_on_target("hoof", 30, 1, bound=1.0)
    steps = np.diff([0.0, *means])
    assert (steps**2 / 2 < 0.03).all()
    np.testing.assert_allclose([choice.kl for _, choice in seen], steps**2 / 2, atol=1e-4)
    # On the way it makes nearly the largest steps allowed, 0.245; there it stays.
    assert np.mean(steps[:6]) > 0.15
    assert means[-1] == pytest.approx(2.0, abs=0.3)
    # The default learning rate, known to be too small, moves the mean by next to nothing.
    assert means_on_target("fixed", 30, 1)[0][-1] < 0.5


# ---------------------------------------------------------------------- runs


def small_env(make_env, **kwargs):
    given = {"env_id": "Pendulum-v1", "n_envs": 4, "total_env_steps": 200}
    return make_env("A2C", **given, **{**agents.env_kwargs("hoof"), **kwargs})


@pytest.mark.parametrize("hyperparameters", [["learning_rate"], ["learning_rate", "ent_coef"]])
def test_the_candidates_differ_in_what_is_chosen(make_env, hyperparameters):
    env = small_env(make_env, **agents.env_kwargs("hoof", hyperparameters=hyperparameters))
    chosen = []
    agent = agents.make("hoof", env, hyperparameters=hyperparameters, candidates=5)
    agents.run(env, agent, seed=0, callback=lambda step: chosen.append(step.next_info["hyperparameters"]))
    for name in ("learning_rate", "ent_coef"):
        assert (len({values[name] for values in chosen}) > 1) == (name in hyperparameters)


def test_the_chosen_rate_is_in_force(make_env):
    env = small_env(make_env)
    agent = agents.make("hoof", env)

    def check(step):
        rate = step.next_info["hyperparameters"]["learning_rate"]
        assert rate == pytest.approx(agent.choice.values["learning_rate"], rel=1e-5)
        assert 1 <= agent.choice.effective_sample_size <= 4.001
        assert 0 <= agent.choice.rejected < 1

    agents.run(env, agent, seed=0, callback=check)


@pytest.mark.filterwarnings("ignore:.*encountered")
def test_a_rollout_that_is_refused_is_survived(make_env, scripted_env):
    kwargs = {"env_fn": lambda: scripted_env([1.0, float("nan"), 1.0]), "n_envs": 2}
    env = make_env("A2C", **kwargs, **agents.env_kwargs("hoof"))
    info = agents.run(env, agents.make("hoof", env), seed=0)
    assert info["diverged"]
    assert info["run_finished"]


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("PPO", {}, "'hoof' can handle A2C, not PPO"),
        ("A2C", {"n_envs": 1}, "give n_envs >= 2"),
        ("A2C", {"action_mode": "discrete"}, r"action_mode='discrete'.*agents.env_kwargs\('hoof'"),
        (
            "A2C",
            {"search_space": ["learning_rate", "gamma"]},
            r"cannot handle gamma\. It can handle ent_coef, learning",
        ),
        ("A2C", {"search_space": {"ent_coef": [0, 0.1]}}, "of learning_rate, and this .* offers ent_coef"),
    ],
)
def test_an_environment_that_does_not_fit_is_refused(make_env, name, kwargs, message):
    env = make_env(name, **{"n_envs": 2, **agents.env_kwargs("hoof"), **kwargs})
    with pytest.raises(ValueError, match=message):
        agents.make("hoof", env)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (
            {"hyperparameters": ["learning_rate", "gamma"]},
            r"cannot handle gamma\. It can handle ent_coef, learning_rate",
        ),
        ({"hyperparameters": ["ent_coef"]}, "always chooses the learning_rate"),
        ({"hyperparameters": "learning_rate"}, "must be a list of names, not 'learning_rate'"),
        ({"hyperparameters": []}, "must be a list of names"),
        ({"candidates": 0}, "candidates must be a whole number of at least 1"),
        ({"bound": 0}, "bound must be a finite number above 0"),
        ({"max_kl": -1}, "max_kl must be a finite number above 0"),
    ],
)
def test_impossible_keywords_are_refused(make_env, kwargs, message):
    env = small_env(make_env)
    with pytest.raises(ValueError, match=message):
        agents.make("hoof", env, **kwargs)
