"""Carries out the runs of a sweep on a Ray cluster. Ray is imported when an executor is made, not before."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from hyperrl_env import CheckpointError
from hyperrl_lab.cluster import connect
from hyperrl_lab.config import CONFIG_FILE
from hyperrl_lab.folder import RunFolder, check_unused
from hyperrl_lab.lock import FolderLock, InUseError
from hyperrl_lab.studies.executor import Event
from hyperrl_lab.studies.job import Ending, Job, Snapshot
from hyperrl_lab.studies.ray_node import Letter, Mailbox, attempt
from hyperrl_lab.studies.shipping import Files, pack, unpack

# So often in a row a run may lose its process without having got any further.
_DEATHS = 3
# Seconds: for an answer, and between two looks at the cluster's size.
_ANSWER, _SIZE = 60.0, 5.0


@dataclass
class _Attempt:
    """A run that is under way on the cluster, whose folder here is locked."""

    job: Job
    held: ExitStack
    number: int = 0
    deaths: int = 0
    began: bool = False
    problem: str = ""


class RayCluster:
    """An `Executor` of Ray tasks, one per run, each with as many cores as the run has threads.

    A run with more threads than every node has cores fails when it is submitted.

    Nodes need no common file system: a run works in a folder of its node, and its folder here gets every
    new checkpoint and the results. A run whose process or node dies begins again from its last checkpoint,
    on any node. Nodes must be able to import this package, and the user's own code, in the same versions.

    Args:
        address: See `hyperrl_lab.cluster.connect`.
        workers: So many runs at the same time at most. None: as many as the cluster has cores.

    Raises:
        ValueError: Ray is not installed.
        ConnectionError: No cluster answers at the address.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        connect(address)
        import ray

        self._ray, self._workers = ray, workers
        node = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        actor = ray.remote(num_cpus=0, scheduling_strategy=node)(Mailbox)
        self._mailbox = actor.remote()
        self._attempts: dict[str, _Attempt] = {}
        self._tasks: dict[Any, str] = {}
        self._news: list[Event] = []
        self._stopping = False
        self._cores, self._looked = 0, -_SIZE

    @property
    def free(self) -> bool:
        """See `Executor`."""
        if time.monotonic() - self._looked >= _SIZE:
            # Nodes come and go.
            self._cores = int(self._ray.cluster_resources().get("CPU", 0))
            self._looked = time.monotonic()
        return len(self._attempts) < (self._workers or max(self._cores, 1))

    def submit(self, job: Job) -> None:
        """See `Executor`."""
        with ExitStack() as stack:
            try:
                self._check_cores(job)
                if job.folder.exists() and not (job.folder / CONFIG_FILE).exists():
                    check_unused(job.folder)
                job.folder.mkdir(parents=True, exist_ok=True)
                # The run itself works elsewhere, so this process holds its folder.
                stack.enter_context(FolderLock(job.folder))
                RunFolder(job.folder).tidy()
                files = pack(job.folder)
            except InUseError as error:
                self._news.append((job.name, Ending("in use", str(error))))
                return
            except (OSError, ValueError, CheckpointError) as error:
                self._news.append((job.name, Ending("failed", str(error))))
                return
            self._attempts[job.name] = _Attempt(job, stack.pop_all())
        self._begin(self._attempts[job.name], files)

    def _check_cores(self, job: Job) -> None:
        """Raises ValueError if no node that is there can carry out a run; Ray would wait for one for ever."""
        nodes = [node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"]]
        cores, threads = int(max(nodes, default=0)), job.config.threads
        # A cluster without any cores still waits for its nodes.
        if 0 < cores < threads:
            raise ValueError(
                f"{job.name} has {threads} threads, and the largest node of the Ray cluster has {cores} "
                f"{'core' if cores == 1 else 'cores'}. Give it fewer threads, or start a larger node first."
            )

    def _begin(self, run: _Attempt, files: Files) -> None:
        run.number += 1
        run.began = False
        task = self._ray.remote(num_cpus=run.job.config.threads, max_retries=0)(attempt)
        ref = task.remote(run.job.to_plain(), run.number, files, self._mailbox)
        self._tasks[ref] = run.job.name

    def events(self, seconds: float) -> Iterator[Event]:
        """See `Executor`."""
        while self._news:
            yield self._news.pop()
        if not self._tasks:
            time.sleep(seconds)
            return
        ended, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=seconds)
        # After the wait: a task leaves its last letter before it ends.
        for letter in self._letters():
            yield from self._read(letter)
        for ref in ended:
            yield from self._end(ref)

    def _letters(self) -> list[Letter]:
        errors = self._ray.exceptions
        try:
            letters: list[Letter] = self._ray.get(self._mailbox.collect.remote(), timeout=_ANSWER)
        except (errors.RayActorError, errors.GetTimeoutError) as error:
            raise ConnectionError(f"The Ray cluster does not answer any more: {error}") from error
        return letters

    def _read(self, letter: Letter) -> Iterator[Event]:
        run = self._attempts.get(letter.name)
        if run is None or run.number != letter.attempt:
            # An attempt that was given up.
            return
        run.began = True
        try:
            with open(run.job.log, "ab") as log:
                log.write(letter.log)
            if letter.files:
                unpack(letter.files, run.job.folder)
                run.deaths = 0
        except (OSError, ValueError, CheckpointError) as error:
            # A full disk, or a file of the user's in the place of a result.
            run.problem = str(error)
        if letter.snapshot:
            yield letter.name, Snapshot(**letter.snapshot)

    def _end(self, ref: Any) -> Iterator[Event]:
        run = self._attempts[self._tasks.pop(ref)]
        errors = self._ray.exceptions
        try:
            ending = Ending(**self._ray.get(ref, timeout=_ANSWER))
        except errors.TaskCancelledError:
            ending = Ending("interrupted")
        except errors.RayTaskError as error:
            ending = Ending("failed", " ".join(str(error.cause).split()) or repr(error.cause))
        except errors.RayError as error:
            run.deaths += 1
            if self._stopping:
                ending = Ending("interrupted")
            elif run.deaths < _DEATHS:
                self._begin(run, pack(run.job.folder))
                return
            else:
                ending = Ending("failed", f"its process on the cluster died {_DEATHS} times: {error}")
        if run.problem:
            ending = Ending("failed", run.problem)
        del self._attempts[run.job.name]
        run.held.close()
        yield run.job.name, ending

    def stop(self) -> None:
        """See `Executor`."""
        self._stopping = True
        self._mailbox.stop.remote()
        for ref, name in self._tasks.items():
            # One that works ends by itself, with a checkpoint.
            if not self._attempts[name].began:
                self._ray.cancel(ref)

    def close(self) -> None:
        """See `Executor`."""
        self._ray.shutdown()
        for run in self._attempts.values():
            run.held.close()
