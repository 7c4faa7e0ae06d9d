"""CPU time of the sides of a comparison, which take turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from threadpoolctl import threadpool_limits

# What is timed.
Side = Callable[[], object]
# Seconds of every repetition, by side.
Times = dict[str, list[float]]


def one_thread() -> None:
    """One thread for Torch and the libraries loaded so far: with small matrices more wait for each other."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def interleaved(sides: Mapping[str, Side], repetitions: int) -> Times:
    """CPU seconds of one call of each side in every repetition, after one that warms up."""

    def ready(side: Side) -> Callable[[], Side]:
        return lambda: side

    prepare = {name: ready(side) for name, side in sides.items()}
    take_turns(prepare, 1)
    return take_turns(prepare, repetitions)


def take_turns(prepare: Mapping[str, Callable[[], Side]], repetitions: int) -> Times:
    """CPU seconds of one call of each side in every repetition.

    CPU time, not wall-clock: on a shared machine the latter counts what others do. It is that of the
    process, so that threads which a library starts by itself count too.

    Args:
        prepare: Per side, what makes the call that is timed, anew in every repetition.
        repetitions: In each of them every side has its turn.
    """
    seconds: Times = {name: [] for name in prepare}
    for _ in range(repetitions):
        for name, make in prepare.items():
            side = make()
            start = time.process_time()
            side()
            seconds[name].append(time.process_time() - start)
    return seconds


def divided(times: Sequence[float], by: float) -> list[float]:
    """Every repetition's time per unit, where there are `by` of them."""
    return [seconds / by for seconds in times]


def ratios(times: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Every repetition's time over the reference's in the same repetition."""
    return [own / other for own, other in zip(times, reference, strict=True)]
