"""What the benchmark scripts share: interleaved repetitions, medians, and one line per result."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from threadpoolctl import threadpool_limits

# One thread everywhere: on networks of this size more threads wait for each other.
torch.set_num_threads(1)
threadpool_limits(1)


def interleaved(sides: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median CPU seconds of one call of each side, the sides taking turns.

    CPU time, not wall-clock: on a shared machine the latter counts what others do. Every side is
    single-threaded, so the two agree where the machine is idle.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repetition in range(repetitions + 1):
        for name, side in sides.items():
            start = time.process_time()
            side()
            if repetition:  # the first round warms up
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(what: str, seconds: Mapping[str, float], per: int, unit: str) -> None:
    """Prints every side's microseconds per unit, and how many times faster the last side is."""
    names = list(seconds)
    sides = ", ".join(f"{name} {seconds[name] / per * 1e6:,.1f} us" for name in names)
    ratio = seconds[names[0]] / seconds[names[-1]]
    print(f"{what}: {sides} per {unit}; {names[-1]} is {ratio:.1f} times as fast as {names[0]}")


def machine() -> str:
    """The machine in a few words."""
    return f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
