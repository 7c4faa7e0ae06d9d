"""The state of a sweep: what waits, runs, is finished or has failed, and how long the rest takes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hyperrl_lab.studies.job import Ending, Job, Snapshot

# "elsewhere": another process has the run's folder.
State = Literal["waiting", "running", "elsewhere", "finished", "failed", "interrupted"]
_STATES: Mapping[str, State] = {"diverged": "finished", "in use": "elsewhere"}
# Seconds until a run that another process had is looked at again.
_RETRY_SECONDS = 1.0


@dataclass
class Entry:
    """A run on the board.

    Attributes:
        job: What is to be done.
        state: Where it stands.
        snapshot: Its last reported progress.
        error: Why it failed, or who else has it.
        not_before: Time of `time.monotonic` before which it is not tried again.
    """

    job: Job
    state: State = "waiting"
    snapshot: Snapshot | None = None
    error: str = ""
    not_before: float = 0.0


@dataclass(frozen=True)
class Failure:
    """A run that failed.

    Attributes:
        run: The name of its folder.
        error: What went wrong, in a line.
        log: What it printed; None if it did not begin.
    """

    run: str
    error: str
    log: Path | None


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended; runs are named by their folders, in the order of the study.

    Attributes:
        finished: Runs with results, those that were finished before included.
        failed: Runs that failed. What they have done is kept.
        interrupted: Runs that were cut or have not begun; the same sweep continues them.
    """

    finished: tuple[str, ...]
    failed: tuple[Failure, ...]
    interrupted: tuple[str, ...]


class Board:
    """All runs of a sweep.

    Args:
        jobs: The runs, in the order in which they begin.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._entries = {job.name: Entry(job) for job in jobs}

    def entries(self, *states: State) -> list[Entry]:
        """The runs in these states, or all."""
        return [entry for entry in self._entries.values() if not states or entry.state in states]

    def due(self) -> list[Entry]:
        """The runs that can begin now: waiting ones, then those that another process had."""
        now = time.monotonic()
        tried = [entry for entry in self.entries("elsewhere") if entry.not_before <= now]
        return [*self.entries("waiting"), *tried]

    def take(self, name: str, news: Snapshot | Ending) -> Entry:
        """Enters the progress or the end of a run; returns its entry."""
        entry = self._entries[name]
        if isinstance(news, Snapshot):
            entry.snapshot = news
            return entry
        status: str = news.status
        entry.state = _STATES.get(status, status)  # type: ignore[arg-type]
        entry.error = news.error
        entry.not_before = time.monotonic() + _RETRY_SECONDS
        return entry

    def seconds_left(self) -> float | None:
        """Wall-clock seconds until all runs are finished, at the present speed; None if that is not known."""
        running = [entry.snapshot for entry in self.entries("running") if entry.snapshot is not None]
        left = [snapshot.seconds_left for snapshot in running if snapshot.seconds_left is not None]
        speed = sum(snapshot.steps_per_second for snapshot in running)
        if not left or not speed:
            return None
        steps = sum(_steps_left(entry) for entry in self.entries("waiting", "running"))
        return max(steps / speed, *left)

    def outcome(self) -> Outcome:
        """How the sweep ended."""
        return Outcome(
            finished=tuple(entry.job.name for entry in self.entries("finished")),
            failed=tuple(
                Failure(entry.job.name, entry.error, entry.job.log if entry.job.log.is_file() else None)
                for entry in self.entries("failed")
            ),
            interrupted=tuple(
                entry.job.name for entry in self.entries("waiting", "running", "elsewhere", "interrupted")
            ),
        )


def _steps_left(entry: Entry) -> int:
    """Environment steps that a run has still to do."""
    done = 0 if entry.snapshot is None else entry.snapshot.env_steps
    return max((entry.job.config.total_env_steps or 0) - done, 0)
