"""Every kind of agent on every observation; episodic control that keys on the observation itself."""

import gymnasium as gym
import numpy as np
import pytest

import agents
from hyperrl_env import DIAGNOSTICS

OBSERVATIONS = ["hyper_state", "diagnostics", "both"]
EPGT = {"write_interval": 1, "vae_probability": 1.0, "vae_batch_size": 2, "vae_buffer_size": 4}
AGENTS = {
    "epgt, vae": ("epgt", EPGT, "discrete"),
    "epgt, random": ("epgt", {**EPGT, "embedding": "random"}, "multi_discrete"),
    "epgt, none": ("epgt", {**EPGT, "embedding": "none"}, "discrete"),
    "random": ("random", {}, "box"),
    "fixed": ("fixed", {}, "discrete"),
    "dqn": ("dqn", {"learning_starts": 2, "buffer_size": 50}, "discrete"),
    **{name: (name, {}, "discrete") for name in ("adaptive_kl", "ultho", "lrrl", "hypercontroller")},
    **{name: (name, {}, "box") for name in ("hoof", "tmg")},
    "lookahead": ("lookahead", {"candidates": 2}, "discrete"),
    "sb3 PPO": ("sb3", {"algorithm": "PPO", "n_steps": 4, "batch_size": 2}, "multi_discrete"),
    "sb3 SAC": ("sb3", {"algorithm": "SAC", "learning_starts": 2, "buffer_size": 50}, "box"),
}


def make_env(observation, algorithm="PPO", **kwargs):
    learner = {"n_steps": 16} | ({"batch_size": 8, "n_epochs": 1} if algorithm == "PPO" else {})
    n_envs = 1 if algorithm == "PPO" else 2
    small = {
        "env_id": "CartPole-v1",
        "total_env_steps": 96 * n_envs,
        "n_envs": n_envs,
        "learner_kwargs": learner,
    }
    return gym.make(f"HyperRL-{algorithm}-v0", observation=observation, **small | kwargs)


def choices(agent, env):
    found = []
    agents.run(env, agent, seed=0, callback=lambda step: found.append(np.asarray(step.action).tolist()))
    return found


@pytest.mark.parametrize("observation", OBSERVATIONS)
@pytest.mark.parametrize("name", AGENTS)
def test_every_agent_runs_on_every_observation(name, observation):
    agent, kwargs, action_mode = AGENTS[name]
    runs = []
    for _ in range(2):
        env = make_env(
            observation,
            # White-box methods can look into A2C.
            "A2C" if agent in ("hoof", "tmg") else "PPO",
            **{"action_mode": action_mode, **agents.env_kwargs(agent, **kwargs)},
        )
        runs.append(choices(agents.make(agent, env, seed=1, **kwargs), env))
    assert len(runs[0]) >= 6  # phases
    assert runs[0] == runs[1]


@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_without_an_embedding_the_keys_are_the_observations(observation):
    env = make_env(observation, decision="phase")
    agent = agents.make("epgt", env, seed=0, **{**EPGT, "embedding": "none"})
    seen = []
    agents.run(env, agent, seed=0, callback=lambda step: seen.append(step.obs))
    # The last phase earns no hyper-reward, so nothing of it is written; equal keys would be merged.
    assert np.array_equal(agent.memory.keys, np.stack(seen[:-1]))


def test_what_one_run_wrote_is_near_in_a_run_on_another_task():
    """The diagnostics at the start of a run are the same numbers for another network and task."""
    env = make_env("diagnostics", decision="phase")
    agent = agents.make("epgt", env, seed=0, **{**EPGT, "embedding": "none"})
    choices(agent, env)
    other = make_env("diagnostics", decision="phase", env_id="Acrobot-v1")
    later = agents.make("epgt", other, seed=1, **{**EPGT, "embedding": "none"})
    later.memory.load_state_dict(agent.memory.state_dict())
    key, _ = other.reset(seed=0)
    moved = np.abs(later.memory.keys[0] - key)
    assert later.memory.keys.shape[1] == len(key) == len(DIAGNOSTICS)
    assert np.count_nonzero(moved) <= 3, "but for the returns"
    assert np.isfinite(later.memory.read(key)).any()


@pytest.mark.parametrize("observation", ["diagnostics", "both"])
def test_training_the_projection_needs_the_hyper_state(observation):
    with pytest.raises(ValueError, match=r"observation='hyper_state'.*'none'"):
        agents.make("epgt", make_env(observation), embedding="paper")


def test_keys_that_are_the_observation_have_its_length():
    env = make_env("diagnostics")
    assert agents.make("epgt", env, embedding="none", key_dim=len(DIAGNOSTICS)).memory.key_dim == 24
    with pytest.raises(ValueError, match=r"as long as the observation, 24, not 7.*leave key_dim out"):
        agents.make("epgt", env, embedding="none", key_dim=7)
