"""The cost of episodic control's memory, by entries and actions."""

from __future__ import annotations

from functools import partial

import numpy as np

from agents import EpisodicMemory
from benchmarks.episodic import fill, random_actions
from benchmarks.tables import Table, at_most, duration, percent, spread
from benchmarks.timing import Side, divided, interleaved

KEY_DIM, CALLS, PAIRS = 32, 200, 10
# Entries, actions, share of the entries that one action owns.
SIZES = (
    (1_000, 225, 0.0),
    (10_000, 7, 0.0),
    (10_000, 225, 0.0),
    (10_000, 225, 0.9),
    (10_000, 10_000, 0.0),
    (100_000, 225, 0.0),
    (1_000_000, 225, 0.0),
)
AIM_SIZE, AIM = (10_000, 225, 0.0), (100e-6, "100 µs")


def table(quick: bool = False) -> Table:
    """A row per size."""
    rng = np.random.default_rng(1)
    repetitions = 2 if quick else 9
    rows = []
    for entries, n_actions, share in SIZES[:3] if quick else SIZES:
        memory = EpisodicMemory(KEY_DIM, n_actions, capacity=entries)
        fill(memory, share_of_best=share)

        def read(memory: EpisodicMemory = memory) -> None:
            for key in rng.normal(size=(CALLS, KEY_DIM)):
                memory.read(key)

        def write(calls: int, and_read: bool, memory: EpisodicMemory = memory, share: float = share) -> None:
            actions = random_actions(rng, calls, memory.n_actions, share_of_best=share)
            for key, action in zip(rng.normal(size=(calls, KEY_DIM)), actions, strict=True):
                memory.write(key, action, 1.0)
                if and_read:
                    memory.read(key)

        sides: tuple[tuple[Side, int], ...] = (
            (read, CALLS),
            (partial(write, CALLS, False), CALLS),
            (partial(write, PAIRS, True), PAIRS),
        )
        times = [divided(interleaved({"": side}, repetitions)[""], calls) for side, calls in sides]
        rows.append(
            [
                f"{entries:,}",
                f"{n_actions:,}",
                percent(share) if share else "",
                spread(times[0], duration),
                at_most(AIM[0], times[0], AIM[1]) if (entries, n_actions, share) == AIM_SIZE else "",
                *(spread(seconds, duration) for seconds in times[1:]),
            ]
        )
    return Table(
        "Episodic memory",
        f"`EpisodicMemory`, full, keys of {KEY_DIM} numbers; time per call. Reads follow reads, and writes "
        "follow writes. Write, then read: the sum of both, since the read sorts the entries anew.",
        ["entries", "actions", "share of one action", "read", "aim", "write", "write, then read"],
        rows,
    )
