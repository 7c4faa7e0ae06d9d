"""A task. Tasks are registered while `hyperrl_env` is imported: this module cannot import `agents`."""

from __future__ import annotations

from hyperrl_env import SearchSpace, Settings, Task, register_task


def register_tasks() -> None:
    """Adds Acrobot, with an id for PPO."""
    settings = Settings(
        {"n_steps": 256, "n_epochs": 4, "gae_lambda": 0.94},
        total_env_steps=100_000,
        normalize=True,
        search_space=SearchSpace(["learning_rate", "clip_range"]),
        source="after RL Baselines3 Zoo",
    )
    register_task(Task("Acrobot", "Acrobot-v1"), {"PPO": settings})
