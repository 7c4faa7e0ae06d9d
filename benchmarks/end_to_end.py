"""PPO on HalfCheetah end to end: plain Stable-Baselines3, the fixed action, and episodic control."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium as gym
from stable_baselines3 import PPO

import agents
from benchmarks.envs import half_cheetah
from benchmarks.episodic import make_agent
from benchmarks.tables import Table, at_least, at_most, duration, median, percent, spread
from benchmarks.timing import Side, divided, ratios, take_turns
from hyperrl_env.settings import get_settings

N_STEPS = 2048
DECISIONS = {"update": (0.2, "20 %"), "epoch": (0.01, "1 %"), "phase": (0.01, "1 %")}
AIMS = {"fixed": 7.5, "epgt": 5.5}
LABELS = {"fixed": "fixed action", "epgt": "episodic control"}


def sb3(steps: int) -> Callable[[], Side]:
    """Makes a whole run of Stable-Baselines3 with the task's settings."""
    settings = get_settings("PPO", "HalfCheetah").learner_kwargs

    def run() -> None:
        PPO("MlpPolicy", half_cheetah(), **settings, seed=0, device="cpu").learn(steps)

    return lambda: run


def hyper_rl(steps: int, backend: str, name: str, decision: str) -> Callable[[], Side]:
    """Makes a whole run of the Hyper-RL, with a full memory under episodic control."""

    def prepare() -> Side:
        env = gym.make(
            "HyperRL-PPO-HalfCheetah-v0",
            total_env_steps=steps,
            backend=backend,
            decision=decision,
            disable_env_checker=True,
        )
        agent = make_agent(name, env)

        def run() -> None:
            agents.run(env, agent, seed=0)
            env.close()

        return run

    return prepare


def sides(steps: int) -> dict[str, Callable[[], Side]]:
    """All that take turns, by backend, agent and decision."""
    return {
        "SB3": sb3(steps),
        "eager fixed update": hyper_rl(steps, "eager", "fixed", "update"),
        **{
            f"fast {name} {decision}": hyper_rl(steps, "fast", name, decision)
            for decision in DECISIONS
            for name in LABELS
        },
    }


def table(quick: bool = False) -> Table:
    """A row per comparison."""
    steps = (1 if quick else 20) * N_STEPS
    if not quick:
        take_turns(sides(2 * N_STEPS), 1)
    times = take_turns(sides(steps), 1 if quick else 5)
    times = {name: divided(seconds, steps) for name, seconds in times.items()}

    def row(name: str, reference: str, label: str, ratio: str, aim: str) -> list[str]:
        other = "SB3" if reference == "SB3" else "fixed action"
        return [label, median(times[name], duration), other, median(times[reference], duration), ratio, aim]

    eager = spread(ratios(times["SB3"], times["eager fixed update"]))
    rows = [row("eager fixed update", "SB3", "fixed action, eager", f"{eager} times as fast", "")]
    for agent, aim in AIMS.items():
        name = f"fast {agent} update"
        ratio = ratios(times["SB3"], times[name])
        speed = f"{spread(ratio)} times as fast"
        rows.append(row(name, "SB3", f"{LABELS[agent]}, fast", speed, at_least(aim, ratio)))
    for decision, (aim, text) in DECISIONS.items():
        name, reference = (f"fast {agent} {decision}" for agent in ("epgt", "fixed"))
        cost = [ratio - 1 for ratio in ratios(times[name], times[reference])]
        label = f'{LABELS["epgt"]}, fast, `decision="{decision}"`'
        verdict = at_most(aim, cost, text)
        rows.append(row(name, reference, label, f"cost {spread(cost, percent)}", verdict))
    return Table(
        "End to end",
        f"PPO on HalfCheetah, {steps:,} environment steps; time per step. Episodic control never explores, "
        "and has a full memory in which the default action is the best: it does all its work, and trains the "
        "same policy as the fixed action. Its cost is that over the fixed action at the same `decision`. "
        "`gym.make` and `agents.make`, once per run, are left out.",
        ["", "time", "against", "time", "ratio", "aim"],
        rows,
    )
