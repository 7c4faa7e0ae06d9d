"""Carries out the runs of a sweep on this machine, in processes that do one run after the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from hyperrl_lab.studies.executor import Event
from hyperrl_lab.studies.job import Ending, Job, Snapshot

# A process with nothing to do ends when its input does; one that does not is killed.
_PATIENCE = 10.0


class Processes:
    """An `Executor` of processes, each of which loads the libraries once.

    The death of a process ends only the run that it carries out.

    Args:
        workers: So many processes at most.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._processes: list[_Process] = []
        self._messages: SimpleQueue[tuple[_Process, dict[str, Any] | None]] = SimpleQueue()
        self._news: list[Event] = []

    @property
    def free(self) -> bool:
        """See `Executor`."""
        return sum(process.job is not None for process in self._processes) < self._workers

    def submit(self, job: Job) -> None:
        """See `Executor`."""
        try:
            # A process that has nowhere to print could not say so.
            job.log.open("ab").close()
            for process in self._processes:
                if process.job is None and process.take(job):
                    return
            self._processes.append(_Process(job, self._messages))
        except OSError as error:
            self._news.append((job.name, Ending("failed", str(error))))

    def events(self, seconds: float) -> Iterator[Event]:
        """See `Executor`."""
        while self._news:
            yield self._news.pop()
            seconds = 0.0
        with suppress(Empty):
            process, message = self._messages.get(timeout=seconds)
            while True:
                if (event := self._event(process, message)) is not None:
                    yield event
                process, message = self._messages.get_nowait()

    def stop(self) -> None:
        """See `Executor`."""
        for process in self._processes:
            process.send("stop")

    def close(self) -> None:
        """See `Executor`."""
        for process in self._processes:
            process.end()

    def _event(self, process: _Process, message: dict[str, Any] | None) -> Event | None:
        job = process.job
        if message is None:
            self._processes.remove(process)
            process.end()
            return None if job is None else (job.name, process.death())
        assert job is not None
        if "snapshot" in message:
            return job.name, Snapshot(**message["snapshot"])
        process.job = None
        return job.name, Ending(**message["ending"])


class _Process:
    """A process, and the job that it carries out.

    Args:
        job: Its first; what goes wrong before it is in that job's log.
        messages: Gets what the process says; None once it has ended.
    """

    def __init__(self, job: Job, messages: SimpleQueue[tuple[_Process, dict[str, Any] | None]]) -> None:
        self.job: Job | None = job
        # Modules are found as they are here; the working folder hides none of them.
        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        with open(job.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "hyperrl_lab.studies.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path},
                text=True,
            )
        # If it has died by now, it ends with this job.
        self.send(job.to_plain())
        threading.Thread(target=self._listen, args=(messages,), daemon=True).start()

    def take(self, job: Job) -> bool:
        """Gives it another job; whether it is alive to take it."""
        if self._process.poll() is not None or not self.send(job.to_plain()):
            return False
        self.job = job
        return True

    def send(self, message: object) -> bool:
        """Sends a message; whether that was possible."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def end(self) -> None:
        """Ends it: at once if it carries out a job."""
        assert self._process.stdin is not None
        if self.job is not None:
            self._process.kill()
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def death(self) -> Ending:
        """How its job ended with it."""
        code = self._process.wait()
        if code >= 0:
            return Ending("failed", f"its process ended with exit code {code}")
        if -code in (signal.SIGINT, signal.SIGTERM):
            # It had not begun: a run that has writes a checkpoint.
            return Ending("interrupted")
        memory = ", as the system does when memory is full" if -code == signal.SIGKILL else ""
        return Ending("failed", f"its process was killed by {signal.Signals(-code).name}{memory}")

    def _listen(self, messages: SimpleQueue[tuple[_Process, dict[str, Any] | None]]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                messages.put((self, json.loads(line)))
        messages.put((self, None))
