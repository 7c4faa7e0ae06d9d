"""What it costs to take and to restore a snapshot, and to write and to read a checkpoint."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.envs import hyper_rl
from benchmarks.tables import Table, duration, spread
from benchmarks.timing import Side, interleaved

IDS = ("HyperRL-PPO-HalfCheetah-v0", "HyperRL-A2C-HalfCheetah-v0", "HyperRL-PPO-CartPole-v0")


def table(quick: bool = False) -> Table:
    """A row per id."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        for id_ in IDS[-1:] if quick else IDS:
            env = hyper_rl(id_)
            env.reset(seed=0)
            env.step(env.default_action)
            calls: dict[str, Side] = {
                "snapshot": env.snapshot,
                "restore": partial(env.restore, env.snapshot()),
                "save": partial(env.save, path),
                "load": partial(env.load, path),
            }
            times = interleaved(calls, repetitions=2 if quick else 31)
            size = f"{path.stat().st_size / 1e6:.2f} MB"
            rows.append([f"`{id_}`", *(spread(seconds, duration) for seconds in times.values()), size])
            env.close()
    return Table(
        "Snapshots and checkpoints",
        "`snapshot` and `restore` in memory, `save` and `load` with a file; time per call.",
        ["id", "snapshot", "restore", "save", "load", "file"],
        rows,
    )
