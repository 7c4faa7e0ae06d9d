"""The meta-gradient: against finite differences through real updates, and where its direction is known."""

import math

import numpy as np
import pytest
import torch

import agents
from agents.tmg import log_step, logit_step, target_derivatives
from hyperrl_env import LearnerView
from hyperrl_env.learners.rollout_targets import CollectedRollout

# ---------------------------------------------------------------------- formulas

T, N = 12, 3


def made_up_rollout():
    rng = np.random.default_rng(0)
    dones = rng.random((T, N)) < 0.2
    cut = dones & (rng.random((T, N)) < 0.5)
    return CollectedRollout(
        rewards=rng.normal(size=(T, N)),
        dones=dones,
        values=rng.normal(size=(T, N)),
        time_limit_values=cut * rng.normal(size=(T, N)),
        last_values=rng.normal(size=N),
    )


def lambda_returns(rollout, gamma, gae_lambda):
    """G_t = r_t + gamma ((1 - lambda) V_{t+1} + lambda G_{t+1}); beyond the rollout's end G is V."""
    following_return = following_value = rollout.last_values
    found = np.zeros((T, N))
    for t in reversed(range(T)):
        beyond = (1 - gae_lambda) * following_value + gae_lambda * following_return
        beyond = np.where(rollout.dones[t], rollout.time_limit_values[t], beyond)
        found[t] = following_return = rollout.rewards[t] + gamma * beyond
        following_value = rollout.values[t]
    return found


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.9, 0.8), (0.99, 1.0), (0.5, 0.0), (1.0, 0.95)])
def test_targets_change_with_gamma_and_lambda_as_differences_say(gamma, gae_lambda):
    rollout, step = made_up_rollout(), 1e-5
    found = target_derivatives(rollout, gamma, gae_lambda)

    def returns(by_gamma, by_lambda):
        return lambda_returns(rollout, gamma + by_gamma, gae_lambda + by_lambda)

    expected = (returns(step, 0) - returns(-step, 0)) / (2 * step)
    np.testing.assert_allclose(found.gamma, expected, rtol=1e-6, atol=1e-8)
    expected = (returns(0, step) - returns(0, -step)) / (2 * step)
    np.testing.assert_allclose(found.gae_lambda, expected, rtol=1e-6, atol=1e-8)


def test_the_steps_are_gradient_steps_on_logarithm_and_logit():
    assert log_step(0.5, 2.0, 0.1) == pytest.approx(np.exp(np.log(0.5) + 0.1 * 0.5 * 2))
    logit = np.log(0.9 / 0.1) + 0.1 * 0.9 * 0.1 * 2
    assert logit_step(0.9, 2.0, 0.1) == pytest.approx(1 / (1 + np.exp(-logit)))
    # Steps of any length stay inside, and lead back from the edge.
    assert 0 < log_step(0.5, -100.0, 1.0) < logit_step(1.0, -100.0, 1.0) < 1
    assert logit_step(1.0, 1e5, 1.0) <= 1
    # Gradients of a ruined policy can have any size.
    for slope in (1e30, -1e30, 1e308):
        assert log_step(0.5, slope, 10.0) == (math.inf if slope > 0 else 0)
        assert logit_step(0.5, slope, 10.0) == (slope > 0)


# ---------------------------------------------------------------------- through a real update

LEARNER = {"n_steps": 6, "learning_rate": 0.02, "gae_lambda": 0.9}


def learner_env(make_env, hyperparameters, **kwargs):
    env = make_env(
        "A2C",
        env_id="Pendulum-v1",
        n_envs=3,
        total_env_steps=1_000,
        learner_kwargs={**LEARNER, **kwargs},
        **agents.env_kwargs("tmg", hyperparameters=hyperparameters),
    )
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.default_action)
        env.reset()
    return env


def weights_after_real_update(env, snapshot, values):
    env.restore(snapshot)
    env.learner.policy_update(values)
    return torch.cat([p.detach().reshape(-1).clone() for p in env.learner.policy.parameters()]).double()


@pytest.mark.parametrize("name", ["learning_rate", "gamma", "gae_lambda"])
@pytest.mark.parametrize("learner", [{}, {"normalize_advantage": True, "max_grad_norm": 0.01}])
@pytest.mark.parametrize("use_rms_prop", [True, False])
def test_the_meta_gradient_is_the_slope_through_a_real_update(make_env, name, learner, use_rms_prop):
    """d J / d eta = <g', d theta' / d eta>, with theta' by central differences of real updates.

    J is the policy objective on the rollout after, whose gradient g' is tested with the view; here only
    the second factor is in question, along any g'.
    """
    env = learner_env(make_env, [name], use_rms_prop=use_rms_prop, **learner)
    snapshot = env.snapshot()
    agent = agents.make("tmg", env, hyperparameters=[name])
    _, info = env.restore(snapshot)
    agent.act(None, {**info, "phase": 0, "update_step": 0})
    value = env.learner.default_values()[name]
    assert agent.values == {name: value}
    env.learner.policy_update({})
    after = LearnerView(env.learner)
    influence = dict(agent._influence)
    if name == "learning_rate":
        influence[name] = (after.weights - agent._before) / value

    step = 0.2 * value if name == "learning_rate" else 1e-3
    ends = [weights_after_real_update(env, snapshot, {name: value + sign * step}) for sign in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * step)
    found = influence[name].double()
    assert float((found - expected).norm() / expected.norm()) < 0.01
    gradient = torch.randn(len(found), generator=torch.Generator().manual_seed(1)).double()
    assert float(gradient @ found) == pytest.approx(float(gradient @ expected), rel=0.02, abs=1e-3)


@pytest.mark.parametrize("name", ["learning_rate", "gamma", "gae_lambda"])
def test_a_hyperparameter_moves_by_the_meta_gradient(make_env, name):
    """Two phases by hand: beta times the slope, on the logarithm or the logit."""
    env = learner_env(make_env, [name])
    agent = agents.make("tmg", env, hyperparameters=[name], meta_step=0.5)
    obs, info = env.reset(seed=0)
    env.step(agent.act(obs, info))
    before, start = agent._before, agent.values[name]
    obs, info = env.reset()
    view = LearnerView(env.learner)
    direction = (view.weights - before) / start if name == "learning_rate" else agent._influence[name]
    slope = float(view.policy_gradient() @ direction)
    agent.act(obs, info)
    step = log_step if name == "learning_rate" else logit_step
    assert agent.values[name] == pytest.approx(step(start, slope, 0.5), rel=1e-5)
    assert agent.values[name] != start


# ---------------------------------------------------------------------- a problem with a known answer


@pytest.mark.parametrize(("learning_rate", "meta_step"), [(0.01, 2.0), (1.2, 0.03)])
def test_it_finds_a_better_learning_rate(means_on_target, learning_rate, meta_step):
    """Of steps 2 alpha (2 - mean): all the way at 0.5, hardly at 0.01, and away from the target above 1."""

    def learn(name, **keywords):
        means, seen = means_on_target(name, 15, 8, {"learning_rate": learning_rate}, **keywords)
        return abs(means[-1] - 2.0), seen[-1][0]

    distance, last_rate = learn("tmg", meta_step=meta_step)
    fixed_distance, fixed_rate = learn("fixed")
    assert fixed_rate == learning_rate
    assert abs(last_rate - 0.5) < abs(learning_rate - 0.5) / 2
    assert distance < fixed_distance / 2


# ---------------------------------------------------------------------- runs


@pytest.mark.parametrize("hyperparameters", [["learning_rate"], ["gae_lambda", "gamma", "learning_rate"]])
@pytest.mark.parametrize("name", ["A2C", "PPO"])
def test_it_moves_every_phase_and_holds_still_in_between(make_env, name, hyperparameters):
    if name == "PPO" and len(hyperparameters) > 1:
        hyperparameters = ["learning_rate"]
    env = make_env(name, **agents.env_kwargs("tmg", hyperparameters=hyperparameters))
    agent = agents.make("tmg", env, hyperparameters=hyperparameters)
    values = {}

    def note(step):
        chosen = {key: step.next_info["hyperparameters"][key] for key in hyperparameters}
        assert values.setdefault(step.info["phase"], chosen) == chosen

    agents.run(env, agent, seed=0, callback=note)
    assert values[0] == {key: env.learner.default_values()[key] for key in hyperparameters}
    assert len({tuple(chosen.values()) for chosen in values.values()}) == len(values) == 3


def test_lambda_starts_inside_where_the_task_has_it_at_the_edge(make_env):
    """A2C's own lambda is 1, where a logit has no slope."""
    env = make_env("A2C", **agents.env_kwargs("tmg", hyperparameters=["gae_lambda"]))
    agent = agents.make("tmg", env, hyperparameters=["gae_lambda"], meta_step=1e3)
    agents.run(env, agent, seed=0)
    assert 0.5 < agent.values["gae_lambda"] < 1


@pytest.mark.filterwarnings("ignore:.*encountered")
def test_a_rollout_that_is_refused_is_survived(make_env, scripted_env):
    hyperparameters = ["learning_rate", "gamma"]
    kwargs = agents.env_kwargs("tmg", hyperparameters=hyperparameters)
    env = make_env("A2C", env_fn=lambda: scripted_env([1.0, float("nan"), 1.0]), **kwargs)
    agent = agents.make("tmg", env, hyperparameters=hyperparameters)
    assert agents.run(env, agent, seed=0)["run_finished"]
    assert all(np.isfinite(value) for value in agent.values.values())


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "hyperparameters", "kwargs", "message"),
    [
        ("ACKTR", ["learning_rate"], {}, "'tmg' can handle A2C, PPO, not ACKTR"),
        ("PPO", ["gamma"], {}, "'tmg' can handle A2C, not PPO"),
        ("A2C", ["learning_rate"], {"action_mode": "discrete"}, r"agents.env_kwargs\('tmg'"),
        (
            "A2C",
            ["gamma"],
            {"search_space": ["ent_coef"]},
            r"cannot handle ent_coef\. It can handle gae_lambda, gamma, learning_rate",
        ),
        ("A2C", ["gamma"], {"search_space": ["gae_lambda"]}, "range of gamma, .* offers gae_lambda"),
    ],
)
def test_an_environment_that_does_not_fit_is_refused(make_env, name, hyperparameters, kwargs, message):
    env = make_env(name, **{**agents.env_kwargs("tmg", hyperparameters=hyperparameters), **kwargs})
    with pytest.raises(ValueError, match=message):
        agents.make("tmg", env, hyperparameters=hyperparameters)


def test_impossible_keywords_are_refused(make_env):
    env = make_env("A2C", **agents.env_kwargs("tmg"))
    with pytest.raises(ValueError, match="meta_step must be a finite number above 0"):
        agents.make("tmg", env, meta_step=0)
    with pytest.raises(
        ValueError, match=r"cannot handle clip_range\. It can handle gae_lambda, gamma, learning_rate"
    ):
        agents.make("tmg", env, hyperparameters=["clip_range"])
