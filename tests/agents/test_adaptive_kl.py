"""The KL rule on a scripted sequence, and the agent that follows it on a run."""

import gymnasium as gym
import pytest

import agents
from agents.adaptive_kl import adapted_rate


def test_the_rule_on_a_scripted_sequence():
    divergences = [0.001, 0.004, 0.005, 0.02, 0.021, 1.0, 0.0, None, 0.01, 0.0049]
    rate, rates = 1e-3, []
    for kl in divergences:
        rate = adapted_rate(rate, kl, target=0.01, lowest=1e-4, highest=2e-3)
        rates.append(rate)
    expected = [1.5e-3, 2e-3, 2e-3, 2e-3, 2e-3 / 1.5, 2e-3 / 2.25, *3 * [2e-3 / 2.25], 2e-3 / 1.5]
    assert rates == pytest.approx(expected)
    assert adapted_rate(1.2e-4, 1.0, target=0.01, lowest=1e-4, highest=2e-3) == 1e-4


def box(make_env, **kwargs):
    return make_env("PPO", **{**agents.env_kwargs("adaptive_kl"), **kwargs})


def test_it_follows_the_mean_kl_of_every_phase(make_env):
    env = box(make_env, total_env_steps=160)
    agent = agents.make("adaptive_kl", env, seed=0, target=1e-4)
    expected = 3e-4

    def check(step):
        nonlocal expected
        assert step.next_info["hyperparameters"]["learning_rate"] == pytest.approx(expected, rel=1e-5)
        kl = step.next_info["phase_stats"]["approx_kl"]
        expected = adapted_rate(expected, kl, 1e-4, 1e-5, 1e-2)

    agents.run(env, agent, seed=0, callback=check)
    assert expected != 3e-4
    # A new run starts from the task's own rate again.
    env.reset(seed=1)
    agent.act(None, {"phase": 0, "update_step": 0})
    assert agent.rate == 3e-4


def test_within_a_phase_it_follows_the_updates_since_its_last_decision(make_env):
    env = box(make_env, decision="update", total_env_steps=64)
    agent = agents.make("adaptive_kl", env, seed=0, target=1e-4)
    expected, checked = 3e-4, 0

    def check(step):
        nonlocal expected, checked
        assert step.next_info["hyperparameters"]["learning_rate"] == pytest.approx(expected, rel=1e-5)
        if "phase_stats" in step.next_info:
            kl = step.next_info["phase_stats"]["approx_kl"]
        else:
            kl = env.learner.update_phase.statistics["approx_kl"][-1]
            checked += 1
        expected = adapted_rate(expected, kl, 1e-4, 1e-5, 1e-2)

    agents.run(env, agent, seed=0, callback=check)
    assert checked > 0


@pytest.mark.parametrize(
    "bounds",
    [
        {},
        # The task's own rate is the lowest, or the highest, that is offered.
        {"search_space": {"learning_rate": {"low": 1e-3, "high": 1e-2}}},
        {"search_space": {"learning_rate": {"low": 1e-6, "high": 1e-5}}},
    ],
)
def test_it_does_not_follow_the_tasks_decay(bounds):
    """At the first decision the task has decayed its rate already, and the KL has asked for nothing yet."""
    learner = {"n_steps": 64, "batch_size": 32, "n_epochs": 1}
    kwargs = {**agents.env_kwargs("adaptive_kl"), "learner_kwargs": learner, "total_env_steps": 128, **bounds}
    env = gym.make("HyperRL-PPO-HalfCheetah-v0", **kwargs).unwrapped
    obs, info = env.reset(seed=0)
    own = env.search_space.values(env.default_action)["learning_rate"]
    assert env.learner.default_values()["learning_rate"] == pytest.approx(own / 2)
    *_, info = env.step(agents.make("adaptive_kl", env).act(obs, info))
    assert info["hyperparameters"]["learning_rate"] == pytest.approx(own, rel=2e-5)


@pytest.mark.parametrize(
    ("algorithm", "env", "kwargs", "message"),
    [
        ("A2C", {}, {}, "A2C measures none. Give a HyperRL-PPO"),
        ("PPO", {"search_space": ["gamma"]}, {}, "can handle learning_rate, .* has gamma besides"),
        ("PPO", {"action_mode": "discrete"}, {}, "needs action_mode='box', not 'discrete'"),
        ("PPO", {"search_space": ["learning_rate"]}, {}, "needs a range of learning rates, not multiples"),
        ("PPO", {}, {"target": 0}, "target must be a finite number above 0"),
    ],
)
def test_what_it_cannot_handle_is_refused(make_env, algorithm, env, kwargs, message):
    env = {**agents.env_kwargs("adaptive_kl"), **env}
    with pytest.raises(ValueError, match=message):
        agents.make("adaptive_kl", make_env(algorithm, **env), **kwargs)
