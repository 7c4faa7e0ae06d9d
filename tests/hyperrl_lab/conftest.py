"""Runs of a fraction of a second, over three update phases."""

import gymnasium as gym
import numpy as np
import pytest

import agents
from agents.controller_weights import N_WEIGHTS
from hyperrl_lab.config import RunConfig

PPO_KWARGS = {"env_id": "CartPole-v1", "learner_kwargs": {"n_steps": 64, "batch_size": 32, "n_epochs": 2}}
SMALL = {
    "ppo": RunConfig("HyperRL-PPO-v0", "random", 3, 192, PPO_KWARGS),
    "epgt": RunConfig("HyperRL-PPO-v0", "epgt", 3, 512, PPO_KWARGS, {"write_interval": 1}),
    "dqn": RunConfig("HyperRL-PPO-v0", "dqn", 3, 192, PPO_KWARGS, {"learning_starts": 2}),
    "a2c": RunConfig("HyperRL-A2C-Pendulum-v0", "random", 3, 2_400),
    "box": RunConfig("HyperRL-PPO-v0", "random", 3, 192, {**PPO_KWARGS, "action_mode": "box"}),
    "multi": RunConfig("HyperRL-PPO-v0", "random", 3, 192, {**PPO_KWARGS, "action_mode": "multi_discrete"}),
    **{
        name: RunConfig("HyperRL-A2C-Pendulum-v0", name, 3, 400, agents.env_kwargs(name), keywords)
        for name, keywords in (("hoof", {"candidates": 5}), ("tmg", {}), ("lookahead", {"candidates": 2}))
    },
    "controller": RunConfig(
        "HyperRL-PPO-v0",
        "controller",
        3,
        512,
        {**PPO_KWARGS, **agents.env_kwargs("controller")},
        {"weights": [0.1] * N_WEIGHTS, "shuffled": True},
    ),
    "phase": RunConfig("HyperRL-PPO-v0", "random", 3, 192, {**PPO_KWARGS, "decision": "phase"}),
    **{
        name: RunConfig("HyperRL-PPO-v0", name, 3, 512, {**PPO_KWARGS, **agents.env_kwargs(name)})
        for name in (
            "ultho",
            "lrrl",
            "hypercontroller",
            "adaptive_kl",
            "constant",
            "linear_decay",
            "random_schedule",
        )
    },
}
# For the command line: the run "ppo".
SMALL_ARGUMENTS = [
    "HyperRL-PPO",
    *("--agent", "random", "--seed", "3", "--total-env-steps", "192"),
    *("--set", "env_id=CartPole-v1", "--set", "n_steps=64", "--set", "batch_size=32", "--set", "n_epochs=2"),
]


@pytest.fixture
def small():
    """Configurations by name."""
    return SMALL


@pytest.fixture
def small_arguments():
    """The run "ppo" as arguments of `hyperrl train`."""
    return SMALL_ARGUMENTS


def _actions(phases, updates, names=("learning_rate", "clip_range"), constant=False):
    rng = np.random.default_rng(0)
    n = phases * updates
    phase = np.repeat(np.arange(phases), updates)
    # Decays to exactly 0, as the last rollout's learning rate does.
    left = 1 - (phase + 1) / phases if phases > 1 else np.ones(n)
    default = {"learning_rate": 3e-4 * left, "clip_range": np.full(n, 0.2), "batch_size": np.full(n, 64.0)}
    bins = {"learning_rate": (0.5, 1, 2), "clip_range": (0.5, 1, 2.5), "batch_size": (0.5, 1, 2)}
    columns = {"env_steps": 2048 * (phase + 1), "phase": phase}
    for name in names:
        columns[name] = default[name] * (1 if constant else rng.choice(bins[name], n))
        columns[f"default.{name}"] = default[name]
    return columns


@pytest.fixture
def synthetic_actions():
    """`synthetic_actions(phases, updates, names, constant)`: what `read_actions` returns of a made-up run."""
    return _actions


@pytest.fixture
def registered():
    """`registered(name, env)`: the environment's id until the test is over."""
    ids = []

    def register(name, env, **kwargs):
        gym.register(name, env, **kwargs)
        ids.append(name)
        return name

    yield register
    for id_ in ids:
        del gym.registry[id_]


@pytest.fixture(autouse=True)
def _unwrapped_tables(monkeypatch):
    """Tables do not wrap, though the processes of a test run can inherit the width of a terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)
