"""One ACKTR update against one A2C update on the same batch, on an MLP and on the Nature CNN."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3 import A2C
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.tables import Table, at_most, duration, median, spread
from benchmarks.timing import Side, divided, interleaved, ratios
from hyperrl_env.inner_envs.make import make_inner_envs
from hyperrl_env.learners import ACKTR, make_learner

# So that ACKTR's inversion, every tenth update, is in the mean.
UPDATES = 10
N_STEPS = 20


class Noise(gym.Env[Any, Any]):
    """Random pictures of Atari's size."""

    observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = spaces.Discrete(6)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """A picture."""
        super().reset(seed=seed)
        return self.np_random.integers(0, 256, (4, 84, 84), np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Another."""
        return self.reset()[0], float(self.np_random.normal()), False, False, {}


# Label, inner environment, policy, number of environments, aim.
NETWORKS: tuple[tuple[str, Any, str, int, float], ...] = (
    ("two hidden layers of 64 (HalfCheetah)", "HalfCheetah-v5", "MlpPolicy", 16, 4.0),
    ("Nature CNN", Noise, "CnnPolicy", 32, 3.0),
)


def table(quick: bool = False) -> Table:
    """A row per network."""
    rows = []
    for label, env, policy, n_envs, aim in NETWORKS[: 1 if quick else 2]:

        def envs(env: Any = env, n_envs: int = n_envs) -> VecEnv:
            return make_inner_envs(env, env_kwargs={}, n_envs=n_envs, normalize=False, gamma=0.99)

        sides = {
            "A2C": updates_of_sb3(A2C, policy, envs()),
            "ACKTR": updates_of_sb3(ACKTR, policy, envs()),
            "fast": updates_of_learner(envs()),
        }
        times = interleaved(sides, repetitions=2 if quick else 5)
        ratio = ratios(times["ACKTR"], times["A2C"])
        rows.append(
            [
                label,
                f"{N_STEPS * n_envs}",
                *(median(divided(seconds, UPDATES), duration) for seconds in times.values()),
                spread(ratio),
                spread(ratios(times["fast"], times["A2C"])),
                at_most(aim, ratio),
            ]
        )
    return Table(
        "One ACKTR update",
        "Against Stable-Baselines3's A2C on the same batch: the mean of ten updates, one of which inverts "
        "the factors. ACKTR is its own `train()`, fast ACKTR the inner learner, which also keeps gradients.",
        [
            "network",
            "batch",
            "A2C",
            "ACKTR",
            "fast ACKTR",
            "ACKTR / A2C",
            "fast ACKTR / A2C",
            "aim of ACKTR / A2C",
        ],
        rows,
    )


def updates_of_sb3(algorithm: type[A2C] | type[ACKTR], policy: str, envs: VecEnv) -> Side:
    """`train()` on one rollout, ten times."""
    model = algorithm(policy, envs, n_steps=N_STEPS, seed=0, device="cpu")
    _, callback = model._setup_learn(1_000_000)
    assert model.env is not None
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)

    def update() -> None:
        for _ in range(UPDATES):
            model.train()

    return update


def updates_of_learner(envs: VecEnv) -> Side:
    """The fast backend's updates on one rollout, ten times."""
    settings = {"n_steps": N_STEPS, "gae_lambda": 1.0}
    learner = make_learner("ACKTR", "fast", envs, settings, seed=0, device="cpu")
    learner.start_run(1_000_000, gradient_order=2)
    learner.environment_phase()

    def update() -> None:
        for _ in range(UPDATES):
            learner.begin_update_phase()
            learner.policy_update(learner.default_values())

    return update
