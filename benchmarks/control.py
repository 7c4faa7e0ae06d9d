"""Where episodic control spends its time: CPU time per update of its parts, beside the fixed action.

PPO on HalfCheetah on the fast backend; the memory is full from the start and nothing is explored.
"""

import argparse
import time
from collections import defaultdict

import gymnasium as gym
import numpy as np
from timing import machine

import agents


def main() -> None:
    """Prints a line per part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env-steps", type=int, default=12 * 2048)
    arguments = parser.parse_args()
    print(machine())
    for name, options in (("fixed", {}), ("epgt", {"epsilon_start": 0.0, "epsilon_end": 0.0})):
        env = gym.make(
            "HyperRL-PPO-HalfCheetah-v0",
            total_env_steps=arguments.env_steps,
            backend="fast",
            disable_env_checker=True,
        )
        agent = agents.make(name, env, seed=0, **options)
        seconds: defaultdict[str, float] = defaultdict(float)
        obs, info = env.reset(seed=0)
        parts = [
            (agent, "act"),
            (agent, "observe"),
            (env.unwrapped.projector, "observation"),
            (env.unwrapped.learner, "policy_update"),
            (env.unwrapped.learner, "environment_phase"),
        ]
        if name == "epgt":
            rng = np.random.default_rng(0)
            for key in rng.normal(size=(agent.memory.capacity, agent.memory.key_dim)):
                agent.memory.write(key, int(rng.integers(agent.memory.n_actions)), float(rng.normal()))
            parts += [(agent.embedding, "keys"), (agent.memory, "read")]
        for owner, method in parts:
            setattr(owner, method, timed(getattr(owner, method), method, seconds))
        start = time.thread_time()
        updates = sum(1 for _ in agents.steps(env, agent, obs, info))
        seconds["in all"] = time.thread_time() - start
        for part, total in seconds.items():
            print(f"{name}, {part}: {total / updates * 1e6:,.0f} us per update")
        env.close()


def timed(function, name, seconds):
    """The function, its time added up under a name."""

    def call(*arguments, **keywords):
        start = time.thread_time()
        try:
            return function(*arguments, **keywords)
        finally:
            seconds[name] += time.thread_time() - start

    return call


if __name__ == "__main__":
    main()
