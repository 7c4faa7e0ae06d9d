"""One ACKTR update against one A2C update of the same batch, on an MLP and on the Nature CNN.

ACKTR's on the fast backend, too.

Ten updates of each at a time, so that ACKTR's inversion, every tenth update, is in the mean.
"""

import argparse

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3 import A2C
from timing import interleaved, machine

from hyperrl_env.inner_envs.make import make_inner_envs
from hyperrl_env.learners import ACKTR, make_learner

UPDATES = 10
AIMS = {"MLP": 4.0, "Nature CNN": 3.0}


class Noise(gym.Env):
    """Random pictures of Atari's size."""

    observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = spaces.Discrete(6)

    def reset(self, *, seed=None, options=None):
        """A picture."""
        super().reset(seed=seed)
        return self.np_random.integers(0, 256, (4, 84, 84), np.uint8), {}

    def step(self, action):
        """Another."""
        return self.reset()[0], float(self.np_random.normal()), False, False, {}


def main() -> None:
    """Prints both sides and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=list(AIMS), nargs="*", default=list(AIMS))
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    for network in arguments.network:
        env, policy, n_envs = {
            "MLP": ("HalfCheetah-v5", "MlpPolicy", 16),
            "Nature CNN": (Noise, "CnnPolicy", 32),
        }[network]
        models = {}
        for algorithm in (A2C, ACKTR):
            envs = make_inner_envs(env, env_kwargs={}, n_envs=n_envs, normalize=False, gamma=0.99)
            model = algorithm(policy, envs, n_steps=20, seed=0, device="cpu")
            _, callback = model._setup_learn(1_000_000)
            model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
            models[algorithm.__name__] = model
        sides = {
            name: lambda model=model: [model.train() for _ in range(UPDATES)]
            for name, model in models.items()
        }
        envs = make_inner_envs(env, env_kwargs={}, n_envs=n_envs, normalize=False, gamma=0.99)
        sides["fast ACKTR"] = fast_updates(envs)
        seconds = interleaved(sides, arguments.repetitions)
        times = ", ".join(f"{name} {value / UPDATES * 1e3:,.2f} ms" for name, value in seconds.items())
        ratio = seconds["ACKTR"] / seconds["A2C"]
        print(
            f"one update on {network}, batch {20 * n_envs}: {times}; ACKTR costs {ratio:.1f} times A2C "
            f"(aim: at most {AIMS[network]:g})"
        )


def fast_updates(envs):
    """Updates of the fast backend's learner, on one rollout."""
    learner = make_learner("ACKTR", "fast", envs, {"n_steps": 20, "gae_lambda": 1.0}, seed=0, device="cpu")
    learner.start_run(1_000_000, gradient_order=2)
    learner.environment_phase()

    def update():
        learner.begin_update_phase()
        learner.policy_update(learner.default_values())

    return lambda: [update() for _ in range(UPDATES)]


if __name__ == "__main__":
    main()
