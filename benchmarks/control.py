"""Where episodic control spends its time: the parts of an update, beside those under the fixed action."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import agents
from benchmarks.end_to_end import N_STEPS
from benchmarks.envs import hyper_rl
from benchmarks.episodic import make_agent
from benchmarks.tables import Table, at_most, duration, spread

# What is measured, and its aim in seconds.
PARTS: dict[str, tuple[float, str] | None] = {
    "in all": None,
    "environment phase": None,
    "policy update": None,
    "observation": None,
    "the agent's choice": None,
    "of which keys": (60e-6, "60 µs"),
    "of which the memory's read": (100e-6, "100 µs"),
    "the agent's learning": None,
}


def table(quick: bool = False) -> Table:
    """A row per part."""
    steps = (1 if quick else 10) * N_STEPS
    found: dict[str, list[dict[str, float]]] = {"fixed": [], "epgt": []}
    for _ in range(1 if quick else 5):
        for name, repetitions in found.items():
            repetitions.append(parts_of_an_update(name, steps))
    rows = []
    for part, aim in PARTS.items():
        fixed, epgt = ([seconds[part] for seconds in repetitions] for repetitions in found.values())
        rows.append(
            [
                part,
                spread(fixed, duration) if any(fixed) else "",
                spread(epgt, duration),
                "" if aim is None else at_most(aim[0], epgt, aim[1]),
            ]
        )
    return Table(
        "Where an update's time goes",
        f"PPO on HalfCheetah, fast, {steps:,} environment steps; time per policy update, with its share of "
        "the environment phase. Episodic control as end to end. Timing the parts takes some time of its own.",
        ["", "fixed action", "episodic control", "aim"],
        rows,
    )


def parts_of_an_update(name: str, steps: int) -> dict[str, float]:
    """Seconds of CPU time per policy update under an agent, by part."""
    env = hyper_rl("HyperRL-PPO-HalfCheetah-v0", total_env_steps=steps, backend="fast")
    agent = make_agent(name, env)
    obs, info = env.reset(seed=0)
    seconds: defaultdict[str, float] = defaultdict(float)
    parts: list[tuple[str, Any, str]] = [
        ("environment phase", env.learner, "environment_phase"),
        ("policy update", env.learner, "policy_update"),
        ("observation", env.projector, "observation"),
        ("the agent's choice", agent, "act"),
        ("the agent's learning", agent, "observe"),
    ]
    if isinstance(agent, agents.EpisodicControlAgent):
        parts += [
            ("of which keys", agent.embedding, "keys"),
            ("of which the memory's read", agent.memory, "read"),
        ]
    for part, owner, method in parts:
        setattr(owner, method, _timed(getattr(owner, method), part, seconds))
    start = time.thread_time()
    updates = sum(1 for _ in agents.steps(env, agent, obs, info))
    seconds["in all"] = time.thread_time() - start
    env.close()
    return {part: seconds[part] / updates for part in PARTS}


def _timed(function: Callable[..., Any], part: str, seconds: dict[str, float]) -> Callable[..., Any]:
    """The function, its time added up under a part's name."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        start = time.thread_time()
        try:
            return function(*arguments, **keywords)
        finally:
            seconds[part] += time.thread_time() - start

    return call
