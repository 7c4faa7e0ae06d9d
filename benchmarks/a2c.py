"""A2C end to end with many inner environments: plain Stable-Baselines3 against the fast backend."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import gymnasium as gym
from stable_baselines3 import A2C

import agents
from benchmarks.tables import Table, duration, median, spread
from benchmarks.timing import Side, divided, ratios, take_turns
from hyperrl_env.inner_envs.make import make_inner_envs
from hyperrl_env.settings import get_settings
from hyperrl_env.tasks import TASKS

CASES = (
    ("BipedalWalker", 16),
    ("BipedalWalker", 128),
    ("Hopper", 16),
    ("Walker2d", 16),
    ("LunarLanderContinuous", 16),
    ("MountainCarContinuous", 1),
)


def sb3(task: str, n_envs: int, steps: int) -> Callable[[], Side]:
    """Makes a whole run of Stable-Baselines3 with the task's settings."""
    settings = get_settings("A2C", task).learner_kwargs

    def run() -> None:
        envs = make_inner_envs(TASKS[task].env_id, env_kwargs={}, n_envs=n_envs, normalize=True, gamma=0.99)
        A2C("MlpPolicy", envs, **settings, seed=0, device="cpu").learn(steps)

    return lambda: run


def hyper_rl(task: str, n_envs: int, steps: int, vec_backend: str) -> Callable[[], Side]:
    """Makes a whole run of the Hyper-RL with its default action."""

    def prepare() -> Side:
        env = gym.make(
            f"HyperRL-A2C-{task}-v0",
            total_env_steps=steps,
            n_envs=n_envs,
            backend="fast",
            vec_backend=vec_backend,
            disable_env_checker=True,
        )
        agent = agents.make("fixed", env)

        def run() -> None:
            agents.run(env, agent, seed=0)
            env.close()

        return run

    return prepare


def table(quick: bool = False) -> Table:
    """A row per task and number of environments."""
    has_envpool = find_spec("envpool") is not None
    steps = 640 if quick else 25_600
    rows = []
    for task, n_envs in CASES[-1:] if quick else CASES:
        sides = {
            "SB3": sb3(task, n_envs, steps),
            "fast": hyper_rl(task, n_envs, steps, "gymnasium"),
            **({"EnvPool": hyper_rl(task, n_envs, steps, "envpool")} if has_envpool else {}),
        }
        if not quick:
            take_turns(sides, 1)
        times = take_turns(sides, 1 if quick else 5)
        rows.append(
            [
                task,
                f"{n_envs}",
                *(median(divided(seconds, steps), duration) for seconds in times.values()),
                *(spread(ratios(times["SB3"], times[name])) for name in list(sides)[1:]),
            ]
        )
    columns = ["SB3", "fast", "fast, EnvPool", "SB3 / fast", "SB3 / fast, EnvPool"]
    missing = "" if has_envpool else " EnvPool was left out: the extra `envpool` was not installed."
    return Table(
        "A2C end to end",
        f"The fixed action, {steps:,} environment steps; time per environment step.{missing}",
        ["task", "environments", *(name for name in columns if has_envpool or "EnvPool" not in name)],
        rows,
    )
