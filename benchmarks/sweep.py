"""A sweep on two cores: against one core, and against one process of plain Stable-Baselines3."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.end_to_end import N_STEPS, sb3
from benchmarks.tables import Table, UnavailableError, at_least, median, number, spread
from benchmarks.timing import Side, ratios
from hyperrl_lab.studies.study import Method, Study, StudyTask
from hyperrl_lab.studies.sweep import sweep

WORKERS = (1, 2)


def whole_sweep(steps: int, runs: int, workers: int) -> Callable[[], Side]:
    """Makes a whole sweep, into a new folder that is removed afterwards."""
    study = Study(
        title="Speed",
        tasks=[StudyTask("HyperRL-PPO-HalfCheetah-v0")],
        methods=[Method("fixed")],
        seeds=range(runs),
        total_env_steps=steps,
    )

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            outcome = sweep(study, Path(folder), workers=workers)
        if len(outcome.finished) != runs:
            raise RuntimeError(f"The sweep failed: {outcome}")

    return lambda: run


def wall_clock(prepare: Callable[[], Side]) -> float:
    """Seconds of the side by the wall clock, because processes of its own do the work."""
    side = prepare()
    start = time.perf_counter()
    side()
    return time.perf_counter() - start


def table(quick: bool = False) -> Table:
    """A row per side."""
    if (os.cpu_count() or 1) < max(WORKERS):
        raise UnavailableError("the machine has one core")
    steps, alone, runs, repetitions = (1, 1, 2, 1) if quick else (150, 20, 6, 3)
    sides = {
        "SB3": (sb3(alone * N_STEPS), alone),
        **{str(n): (whole_sweep(steps * N_STEPS, runs, n), runs * steps) for n in WORKERS},
    }
    # Seconds per environment step.
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repetitions):
        for name, (prepare, rollouts) in sides.items():
            times[name].append(wall_clock(prepare) / (rollouts * N_STEPS))

    def row(name: str, label: str, against: str, aim: float | None) -> list[str]:
        speed = f"{median([1 / seconds for seconds in times[name]], number)} / s"
        if not against:
            return [label, speed, "", ""]
        ratio = ratios(times[against], times[name])
        text = f"{spread(ratio)} times as fast as {'SB3' if against == 'SB3' else 'one process'}"
        return [label, speed, text, "" if aim is None else at_least(aim, ratio)]

    return Table(
        "A sweep",
        "PPO on HalfCheetah with the fixed action: environment steps per second of a whole `hyperrl sweep` "
        f"of {runs} runs of {steps * N_STEPS:,} steps, with the start of the processes, logs and pictures. "
        f"SB3 is one process that does {alone * N_STEPS:,} steps of Stable-Baselines3's `learn()`. By the "
        "wall clock, so the machine must have nothing else to do.",
        ["", "env steps", "ratio", "aim"],
        [
            row("SB3", "SB3", "", None),
            row("1", "sweep, one process", "SB3", None),
            row("2", "sweep, two processes", "1", 1.8),
            row("2", "sweep, two processes", "SB3", 9.0),
        ],
    )
