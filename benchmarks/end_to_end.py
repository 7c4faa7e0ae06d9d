"""PPO on HalfCheetah end to end: plain SB3 against the Hyper-RL with and without episodic control.

Each side does one whole run. Episodic control starts with a full memory, so that its reads cost what
they cost late in a long run; its exploration falls over the run as ever.
"""

import argparse

import gymnasium as gym
import numpy as np
from stable_baselines3 import PPO
from timing import interleaved, machine, report

import agents
from hyperrl_env.inner_envs.make import make_inner_envs


def main() -> None:
    """Prints all sides and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env-steps", type=int, default=30 * 2048)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    steps = arguments.env_steps

    def sb3():
        envs = make_inner_envs("HalfCheetah-v5", env_kwargs={}, n_envs=1, normalize=True, gamma=0.99)
        PPO("MlpPolicy", envs, clip_range_vf=0.2, seed=0, device="cpu").learn(steps)

    def hyper_rl(backend, name):
        env = gym.make(
            "HyperRL-PPO-HalfCheetah-v0", total_env_steps=steps, backend=backend, disable_env_checker=True
        )
        agent = agents.make(name, env, seed=0)
        if name == "epgt":
            fill(agent.memory)
        agents.run(env, agent, seed=0)
        env.close()

    def fill(memory):
        rng = np.random.default_rng(0)
        for key in rng.normal(size=(memory.capacity, memory.key_dim)):
            memory.write(key, int(rng.integers(memory.n_actions)), float(rng.normal()))

    sides = {
        "SB3": sb3,
        "eager, fixed action": lambda: hyper_rl("eager", "fixed"),
        "fast, fixed action": lambda: hyper_rl("fast", "fixed"),
        "fast, episodic control": lambda: hyper_rl("fast", "epgt"),
    }
    print(machine())
    seconds = interleaved(sides, arguments.repetitions)
    for name in list(sides)[1:]:
        report("PPO on HalfCheetah", {"SB3": seconds["SB3"], name: seconds[name]}, steps, "env step")
    cost = seconds["fast, episodic control"] / seconds["fast, fixed action"] - 1
    print(f"episodic control costs {cost:.0%} over the fixed action on the fast backend")


if __name__ == "__main__":
    main()
