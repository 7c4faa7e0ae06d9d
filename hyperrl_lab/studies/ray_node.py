"""What the nodes of a Ray cluster do for a sweep: a run, in a folder of the node, reported to a mailbox."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hyperrl_lab.studies.job import Job, Snapshot, carry_out
from hyperrl_lab.studies.output import output_in
from hyperrl_lab.studies.shipping import Files, newest_checkpoint, pack, unpack


@dataclass(frozen=True)
class Letter:
    """What a node says about a run.

    Attributes:
        name: The run's.
        attempt: Which attempt at the run says it.
        snapshot: The progress, as a dictionary.
        log: What the run has printed since the last letter.
        files: The run's folder if there is a new checkpoint; else empty.
    """

    name: str
    attempt: int
    snapshot: Mapping[str, Any]
    log: bytes
    files: Files


class Mailbox:
    """Where nodes leave letters for the sweep; an actor, beside the sweep's own process."""

    def __init__(self) -> None:
        self._letters: list[Letter] = []
        self._stopped = False

    def post(self, letter: Letter) -> bool:
        """Leaves a letter; returns whether the run shall stop."""
        self._letters.append(letter)
        return self._stopped

    def collect(self) -> list[Letter]:
        """Takes all letters."""
        letters, self._letters = self._letters, []
        return letters

    def stop(self) -> None:
        """Lets every answer from now on say that the run shall stop."""
        self._stopped = True


def attempt(plain: Mapping[str, Any], number: int, files: Files, mailbox: Any) -> dict[str, str]:
    """Carries out a job, from where the files leave off, in a folder of this node that is removed afterwards.

    Args:
        plain: The job, as `Job.to_plain` has it.
        number: Which attempt this is.
        files: The run's folder so far.
        mailbox: The handle of the sweep's `Mailbox`.

    Returns:
        The `Ending`, as a dictionary.
    """
    with tempfile.TemporaryDirectory(prefix="hyperrl-") as temporary:
        there = Job.from_plain(plain)
        job = replace(there, folder=Path(temporary) / there.name, log=Path(temporary) / "log")
        if files:
            unpack(files, job.folder)
        post = _Post(job, number, mailbox)
        with output_in(job.log):
            ending = carry_out(job, post.report, lambda: post.stopped)
        post.send(post.last, files=pack(job.folder))
    return asdict(ending)


class _Post:
    """Reports a run to the mailbox."""

    def __init__(self, job: Job, number: int, mailbox: Any) -> None:
        self.stopped = False
        self.last: Snapshot | None = None
        self._job, self._number, self._mailbox = job, number, mailbox
        self._logged = 0
        self._shipped = newest_checkpoint(job.folder)

    def report(self, snapshot: Snapshot) -> None:
        newest = newest_checkpoint(self._job.folder)
        files = pack(self._job.folder) if newest != self._shipped else {}
        self._shipped = newest
        self.last = snapshot
        self.send(snapshot, files)

    def send(self, snapshot: Snapshot | None, files: Files) -> None:
        import ray

        with open(self._job.log, "rb") as log:
            log.seek(self._logged)
            printed = log.read()
        self._logged += len(printed)
        plain = {} if snapshot is None else asdict(snapshot)
        letter = Letter(self._job.name, self._number, plain, printed, files)
        self.stopped = ray.get(self._mailbox.post.remote(letter))
