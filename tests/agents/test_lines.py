"""Schedules that are lines: from changes to values and back, and what a run did with them."""

import math

import numpy as np
import pytest

import agents
from agents.lines import HYPERPARAMETERS, RANGES, Line, drawn, fitted, fitting, value
from hyperrl_env.diagnostics import CHANGES

OWN = {
    "learning_rate": 3e-4,
    "clip_range": 0.2,
    "kl_clip": 0.001,
    "gae_lambda": 0.95,
    "batch_size": 64,
    "n_epochs": 10,
    "n_steps": 2048,
    "vf_coef": 0.5,
}


@pytest.mark.parametrize("name", RANGES)
def test_a_value_has_the_change_that_it_is_made_from(name):
    for change in np.linspace(RANGES[name].low, RANGES[name].high, 7):
        assert CHANGES[name](value(name, change, OWN[name]), OWN[name]) == pytest.approx(change, abs=1e-9)


def test_random_lines_stay_in_their_ranges_and_reach_them():
    lines = drawn(HYPERPARAMETERS, 4_000, np.random.default_rng(0))
    for index, name in enumerate(HYPERPARAMETERS):
        low, high = RANGES[name][:2]
        level, slope = lines[:, index].T
        ends = np.concatenate([level - slope / 2, level + slope / 2])
        assert ends.min() >= low - 1e-12
        assert ends.max() <= high + 1e-12
        assert np.quantile(level, [0.05, 0.95]) == pytest.approx(
            [low + 0.05 * (high - low), high - 0.05 * (high - low)], abs=0.03 * (high - low)
        )
        assert np.corrcoef(level, slope)[0, 1] == pytest.approx(0.0, abs=0.06)
    assert np.array_equal(fitting(HYPERPARAMETERS, lines), lines)


def test_the_nearest_line_leaves_out_what_is_not_defined():
    progress = np.linspace(0.25, 1.0, 4)
    assert fitted(progress, np.array([1.0, 2.0, 3.0, np.nan])) == pytest.approx((2.0, 4.0))
    assert fitted(progress[:1], np.array([0.7])) == (0.7, 0.0)
    assert fitted(progress[:1], np.array([np.nan])) == (0.0, 0.0)


def played(env, agent, seed=0):
    found = []
    agents.run(
        env,
        agent,
        seed=seed,
        callback=lambda step: found.append((step.info, step.next_info["hyperparameters"])),
    )
    return found


def make(make_env, name="HyperRL-PPO-Pendulum-v0", **kwargs):
    learner = {"n_steps": 64, "batch_size": 16}
    return make_env(
        name,
        total_env_steps=320,
        learner_kwargs=learner,
        **{**agents.env_kwargs("random_schedule"), **kwargs},
    )


def test_the_agent_plays_its_lines_on_the_tasks_own_schedule(make_env):
    env = make(make_env)
    agent = agents.make("random_schedule", env, seed=3)
    steps = played(env, agent)
    assert len(steps) == 5
    for number, (info, values) in enumerate(steps):
        progress = (number + 1) / 5
        assert info["env_steps"] == 64 * (number + 1)
        own = {**OWN, "batch_size": 16, "learning_rate": 3e-4 * (1 - progress)}
        for name, line in zip(agent.names, agent.lines, strict=True):
            exact = value(name, Line(*line).change(progress), own[name])
            whole = name in ("batch_size", "n_epochs")
            assert values[name] == (round(exact) if whole else pytest.approx(exact, rel=1e-5, abs=1e-12)), (
                name
            )


def test_every_task_and_budget_and_run_has_its_own_draw(make_env):
    env = make(make_env)
    agent = agents.make("random_schedule", env, seed=3)
    played(env, agent)
    first = agent.lines
    again = agents.make("random_schedule", make(make_env), seed=3)
    played(again.env, again)
    assert np.array_equal(first, again.lines)
    played(env, agent, seed=1)
    assert not np.isclose(first, agent.lines).any()
    for other in ({"settings": "sb3"}, {"name": "HyperRL-PPO-MountainCarContinuous-v0"}):
        agent = agents.make("random_schedule", make(make_env, **other), seed=3)
        played(agent.env, agent)
        assert not np.isclose(first, agent.lines).any(), other


def test_a_resumed_agent_keeps_its_lines(make_env):
    env = make(make_env)
    agent = agents.make("random_schedule", env, seed=3)
    obs, info = env.reset(seed=0)
    env.step(agent.act(obs, info))
    other = agents.make("random_schedule", make(make_env), seed=9)
    other.load_state_dict(agent.state_dict())
    assert np.array_equal(other.lines, agent.lines)
    assert other.rng.random() == agent.rng.random()


def test_ranges_that_a_task_cannot_use_are_left_out(make_env):
    """The batch is the whole rollout, the learning rate falls to 0."""
    env = make_env(
        "HyperRL-PPO-Pendulum-v0",
        total_env_steps=128,
        learner_kwargs={"n_steps": 32, "batch_size": 32, "gae_lambda": 1.0, "n_epochs": 1},
        **agents.env_kwargs("random_schedule"),
    )
    for seed in range(5):
        for _, values in played(env, agents.make("random_schedule", env, seed=seed), seed):
            assert 16 <= values["batch_size"] <= 32
            assert 1 <= values["n_epochs"] <= 2
            assert 0 <= values["gae_lambda"] <= 1


def test_other_algorithms_give_their_hyperparameters(make_env):
    names = ["learning_rate", "gae_lambda", "n_steps", "vf_coef"]
    env = make_env("A2C", **agents.env_kwargs("random_schedule", hyperparameters=names))
    agent = agents.make("random_schedule", env, hyperparameters=names)
    played(env, agent)
    assert agent.lines.shape == (4, 2)
    with pytest.raises(ValueError, match=r"does not offer 'clip_range'"):
        make_env("A2C", **agents.env_kwargs("random_schedule"))
    listed = r'Give hyperparameters=\["learning_rate", "gae_lambda", "n_steps", "vf_coef"\]'
    with pytest.raises(ValueError, match=rf"A2C lacks clip_range.*{listed}"):
        agents.check_algorithm("random_schedule", "A2C")
    agents.check_algorithm("random_schedule", "A2C", hyperparameters=names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["learning_rate", "learning_rate"], "name each once"),
        ([["learning_rate"]], "must be a string"),
    ],
)
def test_names_that_are_given_twice_or_are_none(names, message):
    with pytest.raises(ValueError, match=message):
        agents.env_kwargs("random_schedule", hyperparameters=names)


@pytest.mark.parametrize("names", ["learning_rate", [], 3])
def test_names_must_be_a_list(names):
    with pytest.raises(ValueError, match="hyperparameters must be a list of names"):
        agents.env_kwargs("random_schedule", hyperparameters=names)


def test_another_range_is_refused(make_env):
    """It would cut the schedule that is chosen."""
    kwargs = agents.env_kwargs("random_schedule")
    kwargs["search_space"]["learning_rate"] = {"multipliers": [0.9, 1.0, 1.1]}
    with pytest.raises(ValueError, match=r"offers learning_rate in another one. Leave search_space out"):
        agents.make("random_schedule", make_env("PPO", **kwargs))


def test_an_unknown_hyperparameter_is_told():
    with pytest.raises(ValueError, match=r"'clip_rang'\. Did you mean 'clip_range'"):
        agents.env_kwargs("random_schedule", hyperparameters=["clip_rang"])


def test_the_environment_must_offer_ranges(make_env):
    with pytest.raises(ValueError, match=r"random_schedule.*can handle learning_rate"):
        agents.make("random_schedule", make_env("PPO"))
    kwargs = {**agents.env_kwargs("random_schedule"), "action_mode": "discrete"}
    with pytest.raises(ValueError, match="needs action_mode='box'"):
        agents.make("random_schedule", make_env("PPO", **kwargs))


def test_log_ratios_are_what_the_ranges_say():
    assert (RANGES["learning_rate"].low, RANGES["learning_rate"].high) == (-math.log(8), math.log(8))
