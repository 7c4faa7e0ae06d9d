"""PPO's update phase and environment phase, Stable-Baselines3's and those of this project's backends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.timing import Side
from hyperrl_env.learners import make_learner


class Phases(NamedTuple):
    """Both phases of a learner that has collected its first rollout."""

    update: Side
    environment: Side


def phases_of_sb3(policy: str, envs: VecEnv, settings: Mapping[str, Any]) -> Phases:
    """`train()` and `collect_rollouts` of SB3's PPO with these arguments."""
    sb3 = PPO(policy, envs, **settings, seed=0, device="cpu")
    _, callback = sb3._setup_learn(1_000_000)

    assert sb3.env is not None

    def collect(envs: VecEnv = sb3.env) -> None:
        sb3.collect_rollouts(envs, callback, sb3.rollout_buffer, sb3.n_steps)

    collect()
    return Phases(sb3.train, collect)


def phases_of_learner(backend: str, envs: VecEnv, settings: Mapping[str, Any]) -> Phases:
    """The phases of the inner PPO learner, with its default action and two gradients kept."""
    learner = make_learner("PPO", backend, envs, settings, seed=0, device="cpu")
    learner.start_run(1_000_000, gradient_order=2)
    learner.environment_phase()

    def update() -> None:
        learner.begin_update_phase()
        while not learner.update_phase_finished:
            learner.policy_update(learner.default_values())

    return Phases(update, learner.environment_phase)
