"""A2C end to end, many inner environments: plain SB3 against the fast backend with its default action.

The last side has its inner environments in EnvPool, which needs the extra envpool.
"""

import argparse

import gymnasium as gym
from stable_baselines3 import A2C
from timing import interleaved, machine, report

import hyperrl_env  # noqa: F401 - registers the ids
from hyperrl_env.inner_envs.make import make_inner_envs
from hyperrl_env.tasks import TASKS, get_settings

CASES = (
    ("BipedalWalker", 16),
    ("BipedalWalker", 128),
    ("Hopper", 16),
    ("Walker2d", 16),
    ("LunarLanderContinuous", 16),
    ("MountainCarContinuous", 1),
)


def main() -> None:
    """Prints a line per task and number of environments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env-steps", type=int, default=12_800)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    steps = arguments.env_steps

    def sb3(task, n_envs):
        envs = make_inner_envs(TASKS[task].env_id, env_kwargs={}, n_envs=n_envs, normalize=True, gamma=0.99)
        A2C("MlpPolicy", envs, **get_settings("A2C", task).learner_kwargs, seed=0, device="cpu").learn(steps)

    def hyper_rl(task, n_envs, vec_backend):
        env = gym.make(
            f"HyperRL-A2C-{task}-v0",
            total_env_steps=steps,
            n_envs=n_envs,
            backend="fast",
            vec_backend=vec_backend,
        )
        env.reset(seed=0)
        while not env.unwrapped.run_finished:
            _, _, terminated, truncated, info = env.step(env.unwrapped.default_action)
            if (terminated or truncated) and not info["run_finished"]:
                env.reset()
        env.close()

    print(machine())
    for task, n_envs in CASES:
        sides = {
            "SB3": lambda task=task, n=n_envs: sb3(task, n),
            "fast": lambda task=task, n=n_envs: hyper_rl(task, n, "gymnasium"),
            "fast, EnvPool": lambda task=task, n=n_envs: hyper_rl(task, n, "envpool"),
        }
        seconds = interleaved(sides, arguments.repetitions)
        for name in list(sides)[1:]:
            pair = {"SB3": seconds["SB3"], name: seconds[name]}
            report(f"A2C on {task}, {n_envs} environments", pair, steps, "env step")


if __name__ == "__main__":
    main()
