"""Lookahead: the run stays as it was after every trial, and the best trial becomes the run."""

import gymnasium as gym
import numpy as np
import pytest

import agents
from agents.fixed import FixedAgent
from hyperrl_env import CheckpointError

# Rewards that every action changes.
SWING = {"env_id": "Pendulum-v1", "total_env_steps": 100, "n_envs": 2}


def results(make_env, bits_of, name, algorithm="A2C", seed=0, agent_seed=0, **kwargs):
    """Rewards, actions and the last bits of a run, and its agent."""
    env_kwargs, keywords = kwargs.pop("env_kwargs", {}), kwargs
    env = make_env(algorithm, **{**SWING, **env_kwargs})
    agent = agents.make(name, env, seed=agent_seed, **keywords)
    seen = []
    agents.run(env, agent, seed=seed, callback=lambda step: seen.append((str(step.action), step.reward)))
    return seen, bits_of(env.learner), agent


@pytest.mark.parametrize("algorithm", ["A2C", "PPO", "ACKTR"])
@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_with_one_candidate_it_is_the_fixed_agent(make_env, bits_of, algorithm, backend):
    both = [
        results(make_env, bits_of, name, algorithm, env_kwargs={"backend": backend}, **keywords)
        for name, keywords in (("lookahead", {"candidates": 1}), ("fixed", {}))
    ]
    assert both[0][:2] == both[1][:2]
    assert both[0][2].extra_env_steps == 0


@pytest.mark.parametrize(
    ("algorithm", "phases", "kwargs"),
    [
        ("A2C", 1, {}),
        ("A2C", 2, {"learning_episode_phases": None}),
        ("PPO", 2, {"action_mode": "box"}),
        ("PPO", 1, {"learning_episode_phases": 2}),
    ],
)
def test_a_trial_leaves_the_run_as_it_was(make_env, bits_of, algorithm, phases, kwargs):
    """The actions that it took lead, taken without any trial, to the same run."""

    class Replayed(FixedAgent):
        def act(self, obs, info):
            return taken.pop(0)

    given = {**SWING, "search_space": ["learning_rate", "gamma"], **kwargs}
    env = make_env(algorithm, **given)
    agent = agents.make("lookahead", env, seed=1, candidates=3, phases=phases)
    taken, rewards = [], []
    agents.run(env, agent, seed=0, callback=lambda s: (taken.append(s.action), rewards.append(s.reward))[0])
    assert len({str(action) for action in taken}) > 1
    again = make_env(algorithm, **given)
    repeated = []
    agents.run(again, Replayed(again), seed=0, callback=lambda s: repeated.append(s.reward))
    assert repeated == rewards
    assert bits_of(again.learner) == bits_of(env.learner)


def test_it_takes_the_best_of_all_trials(make_env):
    """Against trials by hand, from a snapshot at each decision."""
    env = make_env("A2C", **SWING, search_space=["learning_rate"])
    agent = agents.make("lookahead", env, candidates=None)
    obs, info = env.reset(seed=0)
    spent = 0
    for _ in range(5):
        snapshot, before = env.snapshot(), info["env_steps"]
        earned = []
        for action in range(3):
            env.restore(snapshot)
            _, reward, _, _, info = env.step(action)
            earned.append(reward)
            spent += info["env_steps"] - before
        obs, info = env.restore(snapshot)
        action = agent.act(obs, info)
        obs, reward, terminated, truncated, info = env.step(action)
        agent.observe(obs, action, reward, obs, terminated, truncated, info)
        assert earned[int(action)] == reward == max(earned)
        env.reset()
    # 3 trials of 5 steps in 2 environments at each of 5 decisions.
    assert agent.extra_env_steps == spent == 3 * 10 * 5


def test_of_equal_trials_the_default_goes_first(make_env):
    """A pole that has not fallen yet earns as much whatever the action."""
    env = make_env("A2C", env_id="CartPole-v1", total_env_steps=15)
    taken = []
    agent = agents.make("lookahead", env, candidates=None)
    agents.run(env, agent, seed=0, callback=lambda step: taken.append(step.action))
    assert taken == [env.default_action] * 3


def test_an_action_is_held_for_as_many_phases_as_its_trial_took(make_env):
    env = make_env("PPO", **{**SWING, "n_envs": 1, "total_env_steps": 96})
    agent = agents.make("lookahead", env, phases=2, seed=3)
    taken = {}
    agents.run(env, agent, seed=0, callback=lambda s: taken.setdefault(s.info["phase"], set()).add(s.action))
    assert all(taken[phase] == taken[phase + 1] and len(taken[phase]) == 1 for phase in (0, 2, 4))
    assert len({min(actions) for actions in taken.values()}) > 1


def test_inner_environments_that_cannot_be_restored_are_refused(make_env):
    class Opaque(gym.Env):
        observation_space = gym.spaces.Box(0.0, 1.0, (1,), np.float32)
        action_space = gym.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(1, np.float32), {}

        def step(self, action):
            return np.zeros(1, np.float32), 1.0, False, False, {}

        def __deepcopy__(self, memo):
            raise TypeError

    env = make_env("A2C", env_fn=Opaque)
    with pytest.raises(
        CheckpointError, match="'lookahead' needs inner environments whose state can be restored"
    ):
        agents.run(env, agents.make("lookahead", env), seed=0)


@pytest.mark.parametrize("keyword", ["candidates", "phases"])
def test_impossible_keywords_are_refused(make_env, keyword):
    with pytest.raises(ValueError, match=f"{keyword} must be a whole number of at least 1"):
        agents.make("lookahead", make_env("A2C"), **{keyword: 0})
