"""Searches on CartPole with runs of a fraction of a second."""

import pytest

from hyperrl_lab.config import RunConfig

SPACE = {
    "learning_rate": {"low": 1e-5, "high": 1e-2},
    "clip_range": {"low": 0.1, "high": 0.5},
    "batch_size": {"low": 8, "high": 64},
}
GRID = {"learning_rate": [1e-4, 1e-3, 1e-2], "clip_range": [0.1, 0.3]}


@pytest.fixture
def run_config():
    """`run_config(space, total_env_steps)`: of the runs of a search."""

    def make(space=SPACE, total_env_steps=256):
        kwargs = {
            "env_id": "CartPole-v1",
            "learner_kwargs": {"n_steps": 64, "batch_size": 32, "n_epochs": 2},
            "search_space": space,
        }
        return RunConfig("HyperRL-PPO-v0", "fixed", 3, total_env_steps, kwargs)

    return make


@pytest.fixture
def grid():
    """A search space of six points."""
    return GRID
