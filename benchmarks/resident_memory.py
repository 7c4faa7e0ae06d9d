"""Resident memory and open files over one long run under episodic control."""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import agents
from benchmarks.envs import hyper_rl
from benchmarks.tables import Table, UnavailableError, at_most, number
from benchmarks.timing import one_thread

STATUS = Path("/proc/self/status")
AIM = 0.05


def table(quick: bool = False) -> Table:
    """A row for the memory, and one for the files."""
    if not STATUS.exists():
        raise UnavailableError("it reads /proc, which this system does not have")
    env_steps = 20_480 if quick else 1_000_000
    # In a process of its own, whose memory is this run's alone.
    with multiprocessing.get_context("spawn").Pool(1, one_thread) as pool:
        samples = pool.apply(sampled, (env_steps,))
    tenth = max(len(samples) // 10, 1)
    (first, first_files), (last, last_files) = samples[:tenth].mean(axis=0), samples[-tenth:].mean(axis=0)
    change = last / first - 1
    return Table(
        "Resident memory",
        f"PPO on HalfCheetah under episodic control, {env_steps:,} environment steps, a checkpoint after "
        "every phase.",
        ["", "first tenth of the run", "last tenth", "change", "aim"],
        [
            [
                "resident memory",
                f"{first:.0f} MiB",
                f"{last:.0f} MiB",
                f"{change:+.1%}".replace("%", " %"),
                at_most(AIM, [change], "5 %"),
            ],
            ["open files", number(first_files), number(last_files), "", ""],
        ],
    )


def sampled(env_steps: int) -> NDArray[np.float64]:
    """Of every phase of a run: this process's resident memory in MiB, and its open files; (phases, 2)."""
    env = hyper_rl("HyperRL-PPO-HalfCheetah-v0", total_env_steps=env_steps)
    agent = agents.make("epgt", env, seed=0)
    samples: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:

        def sample(step: agents.Step) -> None:
            if "phase_stats" in step.next_info:
                env.save(Path(folder) / "checkpoint")
                kibibytes = int(STATUS.read_text().split("VmRSS:")[1].split()[0])
                samples.append((kibibytes / 1024, len(list(Path("/proc/self/fd").iterdir()))))

        agents.run(env, agent, seed=0, callback=sample)
    env.close()
    return np.array(samples)
