"""The loop of a run, beside one written out by hand."""

import numpy as np
import pytest

import agents


@pytest.fixture
def parts(make_env):
    """An environment and an agent that learns, the same at every call."""

    def build(**kwargs):
        env = make_env("PPO", **kwargs)
        return env, agents.make("epgt", env, seed=1, write_interval=1, epsilon_fraction=0.5)

    return build


@pytest.mark.parametrize("kwargs", [{}, {"learning_episode_phases": 2}, {"decision": "phase"}])
def test_it_does_what_the_loop_by_hand_does(parts, bits_of, kwargs):
    env, agent = parts(**kwargs)
    obs, info = env.reset(seed=3)
    by_hand = []
    while not info["run_finished"]:
        action = agent.act(obs, info)
        next_obs, reward, terminated, truncated, info = env.step(action)
        agent.observe(obs, action, reward, next_obs, terminated, truncated, info)
        by_hand.append((obs, action, reward, terminated, truncated))
        if (terminated or truncated) and not info["run_finished"]:
            next_obs, info = env.reset()
        obs = next_obs

    again, other = parts(**kwargs)
    seen = []
    last = agents.run(again, other, seed=3, callback=seen.append)
    assert last["run_finished"]
    assert len(seen) == len(by_hand)
    for step, (obs, action, reward, terminated, truncated) in zip(seen, by_hand, strict=True):
        np.testing.assert_array_equal(step.obs, obs)
        assert (step.action, step.reward) == (action, reward)
        assert (step.terminated, step.truncated) == (terminated, truncated)
    assert bits_of(again.learner) == bits_of(env.learner)
    assert len(other.memory) == len(agent.memory) > 0
    np.testing.assert_array_equal(other.memory.values, agent.memory.values)


def test_each_step_begins_where_the_one_before_ended(parts):
    env, agent = parts()
    obs, info = env.reset(seed=0)
    for step in agents.steps(env, agent, obs, info):
        np.testing.assert_array_equal(step.obs, obs)
        assert step.info["env_steps"] == info["env_steps"]
        obs, info = step.next_obs, step.next_info
    assert info["run_finished"]


def test_a_callback_ends_it_and_the_run_can_go_on(parts, bits_of):
    env, agent = parts()
    last = agents.run(env, agent, seed=0)

    other, its_agent = parts()
    stops = []

    def stop_at_the_first_phase(step):
        stops.append(step.next_info)
        return "phase_stats" not in step.next_info

    info = agents.run(other, its_agent, seed=0, callback=stop_at_the_first_phase)
    assert not info["run_finished"]
    assert info is stops[-1]
    assert info["phase"] == 1
    # The learning episode is over: the next reset goes on with the run.
    assert agents.run(other, its_agent)["env_steps"] == last["env_steps"]
    assert bits_of(other.learner) == bits_of(env.learner)
