"""How the runs of a sweep are carried out: the contract of what does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from hyperrl_lab.studies.job import Ending, Job, Snapshot

# Names a job, with its progress or its end.
Event = tuple[str, Snapshot | Ending]


class Executor(Protocol):
    """Carries out jobs, several at a time; every job that was submitted ends with an `Ending`."""

    @property
    def free(self) -> bool:
        """Whether it takes another job now."""

    def submit(self, job: Job) -> None:
        """Takes a job."""

    def events(self, seconds: float) -> Iterator[Event]:
        """What has happened to jobs; waits for so long if nothing has."""

    def stop(self) -> None:
        """Asks all runs to write a checkpoint and end; returns at once."""

    def close(self) -> None:
        """Ends what still runs, at once, and frees everything."""
