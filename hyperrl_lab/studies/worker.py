"""A process that carries out runs of a sweep, one after the other: `python -m hyperrl_lab.studies.worker`.

Lines of JSON on its standard input are jobs, or "stop"; its answers are lines of JSON on its standard
output. Whatever a run prints goes to the run's log. If the input ends, the sweep is gone: the run writes a
checkpoint and the process ends.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import asdict
from queue import SimpleQueue
from typing import Any, TextIO

from hyperrl_lab.studies.job import Job, Snapshot, carry_out
from hyperrl_lab.studies.output import ERRORS, OUTPUT, output_in

# A process without its sweep ends after so many seconds, even if its run is in the middle of something.
_PATIENCE = 60.0
_INPUT = 0


class Worker:
    """The process's end of its connection to the sweep."""

    def __init__(self, source: TextIO, target: TextIO) -> None:
        self._source, self._target = source, target
        self._jobs: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._stopped = False

    def work(self) -> None:
        """Carries out jobs until it is told to stop."""
        # Ctrl-C reaches all processes of a terminal; the sweep then asks each one to stop.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, frame: self._stop())
        threading.Thread(target=self._listen, daemon=True).start()
        while not self._stopped and (plain := self._jobs.get()) is not None:
            job = Job.from_plain(plain)
            with output_in(job.log):
                ending = carry_out(job, self._report, lambda: self._stopped)
            self._send({"ending": asdict(ending)})

    def _stop(self) -> None:
        self._stopped = True
        self._jobs.put(None)

    def _listen(self) -> None:
        for line in self._source:
            message = json.loads(line)
            if message == "stop":
                self._stop()
            else:
                self._jobs.put(message)
        self._stop()
        last = threading.Timer(_PATIENCE, os._exit, (1,))
        last.daemon = True
        last.start()

    def _report(self, snapshot: Snapshot) -> None:
        self._send({"snapshot": asdict(snapshot)})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._target.write(json.dumps(message) + "\n")
            self._target.flush()
        except OSError:
            # Nobody is there to read it.
            self._stop()


def main() -> None:
    """Runs the process."""
    # What a run prints, or asks for, must not reach the sweep.
    source, target = os.fdopen(os.dup(_INPUT)), os.fdopen(os.dup(OUTPUT), "w")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), _INPUT)
    os.dup2(ERRORS, OUTPUT)
    Worker(source, target).work()


if __name__ == "__main__":
    main()
