"""SB3 algorithms as hyper-agents, against the same algorithms' own `learn()`."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC

import agents
import hyperrl_env  # noqa: F401 - registers the ids

BUDGET = 100_000
SMALL_DQN = {
    "learning_starts": 20,
    "buffer_size": 200,
    "target_update_interval": 25,
    "batch_size": 16,
    "exploration_initial_eps": 0.3,
    "exploration_final_eps": 0.3,
}
SMALL_SAC = {"learning_starts": 10, "buffer_size": 200, "batch_size": 8, "policy_kwargs": {"net_arch": [16]}}


def make_env(action_mode: str = "discrete") -> gym.Env:
    # Episodes of two phases, so that transitions inside, at the end and after episodes all occur.
    return gym.make(
        "HyperRL-A2C-CartPole-v0",
        total_env_steps=BUDGET,
        n_envs=1,
        action_mode=action_mode,
        learning_episode_phases=2,
    )


def drive(agent: agents.HyperAgent, env: gym.Env, steps: int) -> list:
    obs, info = env.reset(seed=7)
    actions = []
    for _ in range(steps):
        action = agent.act(obs, info)
        next_obs, reward, terminated, truncated, info = env.step(action)
        agent.observe(obs, action, reward, next_obs, terminated, truncated, info)
        if terminated or truncated:
            next_obs, info = env.reset()
        obs = next_obs
        actions.append(action)
    return actions


@pytest.mark.parametrize(
    ("cls", "action_mode", "steps", "kwargs"),
    [
        (DQN, "discrete", 92, SMALL_DQN),
        (DQN, "discrete", 90, {**SMALL_DQN, "train_freq": (3, "step"), "gradient_steps": -1}),
        (SAC, "box", 40, SMALL_SAC),
        (PPO, "discrete", 64, {"n_steps": 16, "batch_size": 8, "n_epochs": 2}),
        (PPO, "box", 64, {"n_steps": 16, "batch_size": 8, "n_epochs": 2}),
        (A2C, "discrete", 60, {}),
    ],
)
def test_an_algorithm_learns_the_same_bits_as_in_its_own_learn(cls, action_mode, steps, kwargs):
    reference = cls("MlpPolicy", make_env(action_mode), seed=7, **kwargs)
    reference.learn(steps)

    env = make_env(action_mode)
    agent = agents.make("sb3", env, seed=7, algorithm=cls.__name__, **kwargs)
    torch.rand(3)  # the agent's generators are its own
    drive(agent, env, steps)

    expected, found = reference.policy.state_dict(), agent.model.policy.state_dict()
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert agent.model._n_updates == reference._n_updates > 0


def test_the_process_keeps_its_random_state():
    env = make_env()
    agent = agents.make("dqn", env, seed=0, learning_starts=5)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    drive(agent, env, 30)
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


@pytest.mark.parametrize(
    ("algorithm", "kwargs"),
    [("DQN", SMALL_DQN), ("PPO", {"n_steps": 16, "batch_size": 8}), ("A2C", {"n_steps": 20})],
)
def test_a_restored_agent_goes_on_as_the_original(algorithm, kwargs):
    original = agents.make("sb3", make_env(), seed=1, algorithm=algorithm, **kwargs)
    drive(original, make_env(), 42)
    restored = agents.make("sb3", make_env(), seed=2, algorithm=algorithm, **kwargs)
    restored.load_state_dict(original.state_dict())
    assert drive(original, make_env(), 30) == drive(restored, make_env(), 30)
    parameters = zip(original.model.policy.parameters(), restored.model.policy.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in parameters)


@pytest.mark.parametrize("action_mode", ["multi_discrete", "discrete"])
def test_dqn_chooses_joint_bins_in_every_binned_action_mode(action_mode):
    env = make_env(action_mode)
    agent = agents.make("dqn", env, seed=0)
    for action in drive(agent, env, 10):
        assert env.action_space.contains(action)


def test_exploration_follows_the_budget_of_the_run():
    env = gym.make("HyperRL-A2C-CartPole-v0", total_env_steps=400, n_envs=1)
    agent = agents.make("dqn", env, seed=0)
    drive(agent, env, 20)  # 105 of 400 steps: about half way down to 0.01 at 200
    assert agent.model.exploration_rate == pytest.approx(1 - 0.99 * 105 / 200)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"algorithm": "Rainbow"}, "give one of .*'DQN'"),
        ({"algorithm": "DQN", "bufer_size": 3}, r"Unknown keywords \['bufer_size'\].*'buffer_size'"),
        ({"algorithm": "SAC"}, "SAC cannot be a hyper-agent here"),
    ],
)
def test_what_cannot_be_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        agents.make("sb3", make_env(), **kwargs)
