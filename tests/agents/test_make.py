"""`agents.make`, the contract, and the agents that do not learn."""

import gymnasium as gym
import numpy as np
import pytest

import agents
import hyperrl_env  # noqa: F401 - registers the ids


def make_env(action_mode: str = "discrete", **kwargs) -> gym.Env:
    return gym.make(
        "HyperRL-PPO-CartPole-v0",
        total_env_steps=192,
        learner_kwargs={"n_steps": 64, "batch_size": 32, "n_epochs": 2},
        action_mode=action_mode,
        **kwargs,
    )


def run(agent: agents.HyperAgent, env: gym.Env) -> list[dict[str, float]]:
    values = []

    def note(step):
        assert env.action_space.contains(step.action)
        values.append(step.next_info["hyperparameters"])

    agents.run(env, agent, seed=0, callback=note)
    return values


@pytest.mark.parametrize("action_mode", ["discrete", "multi_discrete", "box"])
@pytest.mark.parametrize("name", ["epgt", "random", "fixed"])
def test_every_agent_runs_in_every_action_mode(name, action_mode):
    env = make_env(action_mode)
    assert run(agents.make(name, env, seed=1), env)


@pytest.mark.parametrize("name", ["epgt", "random", "dqn"])
def test_same_seed_same_choices_another_seed_others(name):
    def choices(seed):
        env = make_env()
        return run(agents.make(name, env, seed=seed), env)

    assert choices(1) == choices(1)
    assert choices(1) != choices(2)


@pytest.mark.parametrize("action_mode", ["discrete", "box"])
def test_random_spreads_over_all_that_is_offered(action_mode):
    env = make_env(action_mode)
    agent = agents.make("random", env, seed=0)
    actions = np.array([agent.act(None, {}) for _ in range(3000)])
    if action_mode == "box":
        assert actions.dtype == np.float32
        assert np.allclose(actions.mean(0), 0, atol=0.05)
        assert np.allclose(actions.std(0), 1 / 3**0.5, atol=0.03)
    else:
        n = env.action_space.n
        assert set(actions) == set(range(n))
        assert np.bincount(actions, minlength=n).max() < 4 * 3000 / n


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("default", {"clip_range": 0.2, "batch_size": 32}),
        ("smallest", {"clip_range": 0.1, "batch_size": 16, "gae_lambda": 0.9}),
        ("largest", {"clip_range": 0.5, "batch_size": 64, "gae_lambda": 0.99}),
        ({"clip_range": 0.4}, {"clip_range": 0.4, "batch_size": 32, "gae_lambda": 0.95}),
    ],
)
@pytest.mark.parametrize("action_mode", ["discrete", "multi_discrete", "box"])
def test_fixed_holds_what_it_is_told(action, expected, action_mode):
    env = make_env(action_mode)
    for values in run(agents.make("fixed", env, action=action), env):
        assert {name: values[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        # The standard bins hold neither.
        ({"learning_rate": 1.1e-4}, {"learning_rate": 1.1e-4, "clip_range": 0.2, "batch_size": 32}),
        ({"batch_size": "0.25x", "gamma": 0.9}, {"batch_size": 8, "gamma": 0.9}),
        ({"learning_rate": "1x"}, {"batch_size": 32}),
    ],
)
def test_fixed_asks_for_the_values_that_it_holds(action, expected):
    env = make_env(**agents.env_kwargs("fixed", action=action))
    for values in run(agents.make("fixed", env, action=action), env):
        assert {name: values[name] for name in expected} == pytest.approx(expected)


def test_multiples_follow_the_tasks_decay():
    kwargs = {"total_env_steps": 192, "learner_kwargs": {"n_steps": 64, "batch_size": 32, "n_epochs": 1}}
    twice = agents.env_kwargs("fixed", action={"learning_rate": "2x"})
    env = gym.make("HyperRL-PPO-HalfCheetah-v0", **kwargs, **twice)
    doubled = run(agents.make("fixed", env, action={"learning_rate": "2x"}), env)
    env = gym.make("HyperRL-PPO-HalfCheetah-v0", **kwargs)
    own = run(agents.make("fixed", env), env)
    assert [v["learning_rate"] for v in doubled] == pytest.approx([2 * v["learning_rate"] for v in own])


def test_fixed_takes_an_action_itself():
    env = make_env()
    assert agents.make("fixed", env, action=3).act(None, {}) == 3
    with pytest.raises(gym.error.InvalidAction):
        agents.make("fixed", env, action=10_000)


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("sarsa", {}, r"^Unknown agent 'sarsa'\. Valid agents: epgt, random, fixed, dqn, sb3, "),
        ("egpt", {}, "Did you mean 'epgt'"),
        (
            "epgt",
            {"k_raed": 3},
            r"Unknown epgt keyword 'k_raed'\. Did you mean 'k_read'\? Valid epgt keywords: capacity, k_read",
        ),
        ("random", {"epsilon": 3}, "Valid random keywords: none"),
        ("sb3", {}, "Agent 'sb3' needs algorithm="),
        ("fixed", {"action": "lagest"}, "Unknown fixed action 'lagest'. Did you mean 'largest'"),
        ("fixed", {"action": {"clip": 1}}, "'clip' is not in this search space. Did you mean 'clip_range'"),
        ("fixed", {"action": {"clip_range": 0.7}}, "clip_range=0.7 is not offered"),
        (
            "fixed",
            {"action": {"clip_range": "half"}},
            "multiple of the task's own .* not 'half'",
        ),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        agents.make(name, make_env(), **kwargs)


def test_only_a_hyper_rl_environment_will_do():
    with pytest.raises(TypeError, match=r"HyperRL-\* environment, not .*CartPole.*env_id="):
        agents.make("random", gym.make("CartPole-v1"))


def test_keywords_are_those_of_the_agent():
    assert agents.keywords("epgt")["k_write"] == 3
    assert agents.keywords("random") == {}
