"""One run of a sweep, in the process that carries it out: begun or continued, then evaluated."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperrl_env.saving.identity import as_plain_values, differences
from hyperrl_lab.commands.base import complain, warn_of_versions
from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config
from hyperrl_lab.display import Display
from hyperrl_lab.evaluation import evaluate, read_evaluation
from hyperrl_lab.folder import RunFolder
from hyperrl_lab.lock import InUseError
from hyperrl_lab.plots import PICTURES
from hyperrl_lab.progress import Progress
from hyperrl_lab.results import outcome
from hyperrl_lab.run import TrainingRun, draw_missing

# Of a log, whose lines do not wrap.
_LOG_WIDTH = 240
# Seconds between two reports of one run.
_REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """What is to be done for one run.

    Attributes:
        name: The name of its folder.
        folder: The folder; it may hold a part of the run.
        log: File for what the run prints.
        config: The configuration, with the budget.
        evaluate_episodes: Episodes of the final policy after the run; 0: none.
        checkpoint_minutes: Minutes between checkpoints.
    """

    name: str
    folder: Path
    log: Path
    config: RunConfig
    evaluate_episodes: int
    checkpoint_minutes: float

    def to_plain(self) -> dict[str, Any]:
        """The job as JSON can hold it."""
        paths = {name: str(getattr(self, name)) for name in ("folder", "log")}
        return {**asdict(self), **paths}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Job:
        """The job of a result of `to_plain`."""
        paths = {name: Path(plain[name]) for name in ("folder", "log")}
        return cls(**{**plain, **paths, "config": RunConfig(**plain["config"])})


@dataclass(frozen=True)
class Snapshot:
    """The progress of a run at one moment; attributes as those of `Progress`."""

    activity: str
    env_steps: int
    mean_return: float | None
    steps_per_second: float
    seconds_left: float | None


@dataclass(frozen=True)
class Ending:
    """How a job ended.

    Attributes:
        status: "finished" or "diverged", as in `summary.json`; "interrupted": it can be continued;
            "in use": another process has the folder; "failed".
        error: What went wrong, in a line.
    """

    status: str
    error: str = ""


def is_begun(folder: Path, config: RunConfig) -> bool:
    """Whether a folder holds a run, in whatever state.

    Args:
        folder: The run's folder.
        config: The run's configuration, with the budget.

    Raises:
        ValueError: The folder holds another run, or a damaged configuration; the message says which.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        return False
    there, _ = read_config(path)
    if found := differences(as_plain_values(asdict(there)), as_plain_values(asdict(config))):
        raise ValueError(
            f"{folder} holds another run: {'; '.join(found)}. It is left alone: give another folder, or "
            "move it elsewhere."
        )
    return True


def is_done(folder: Path, config: RunConfig, evaluate_episodes: int) -> bool:
    """Whether nothing of a run is left to do.

    Args:
        folder: See `is_begun`.
        config: See `is_begun`.
        evaluate_episodes: See `Job`.

    Raises:
        ValueError: See `is_begun`.
    """
    return (
        is_begun(folder, config)
        and outcome(folder) is not None
        and not RunFolder(folder).missing(PICTURES)
        and not _evaluation_is_due(folder, evaluate_episodes)
    )


def carry_out(job: Job, report: Callable[[Snapshot], None], stop: Callable[[], bool]) -> Ending:
    """Does what is left of a job. Every exception is printed, and ends only this job.

    Args:
        job: What is to be done.
        report: Called with the progress, at most twice a second.
        stop: Called before every hyper-step; True interrupts the run.
    """
    try:
        return _carry_out(job, report, stop)
    except InUseError as error:
        return Ending("in use", str(error))
    # The code of users, of their environments and agents, can raise anything.
    except Exception as error:
        traceback.print_exc()
        return Ending("failed", " ".join(f"{type(error).__name__}: {error}".split()))


def _carry_out(job: Job, report: Callable[[Snapshot], None], stop: Callable[[], bool]) -> Ending:
    if is_done(job.folder, job.config, job.evaluate_episodes):
        return Ending(str(outcome(job.folder)))
    if outcome(job.folder) is None:
        run = _prepare(job)
        console = Console(file=sys.stderr, force_terminal=False, width=_LOG_WIDTH, highlight=False)
        console.print(f"{run.config.name}, {run.config.total_env_steps:,} env steps", markup=False)
        if run.progress.env_steps:
            console.print(f"continuing after {run.progress.env_steps:,} env steps", markup=False)
        display, reporter = Display(console, run.progress), _Reporter(report)

        def on_step(progress: Progress) -> None:
            display.step(progress)
            reporter.step(progress)

        report(snapshot(run.progress))
        summary = run.train(on_step, stop)
        report(snapshot(run.progress))
        if summary["status"] == "interrupted":
            return Ending("interrupted")
    else:
        draw_missing(job.folder)
    if _evaluation_is_due(job.folder, job.evaluate_episodes):
        if stop():
            return Ending("interrupted")
        evaluate(job.folder, job.evaluate_episodes)
    return Ending(str(outcome(job.folder)))


def _prepare(job: Job) -> TrainingRun:
    """The run of a job, begun or continued.

    Raises:
        InUseError: Another process has it, or had it in the meantime.
    """
    path = job.folder / CONFIG_FILE
    resume = path.exists()
    if resume:
        warn_of_versions(read_config(path)[1])
    try:
        return TrainingRun(
            job.config,
            job.folder,
            checkpoint_minutes=job.checkpoint_minutes,
            resume=resume,
            warn=lambda message: complain(message, "warning"),
        )
    except FileExistsError as error:
        if not resume and path.exists():
            # Another process has begun the run since `path` was looked for.
            raise InUseError(str(error)) from error
        raise


def _evaluation_is_due(folder: Path, episodes: int) -> bool:
    """Whether the run's last policy has not been evaluated with as many episodes."""
    try:
        found = read_evaluation(folder)
        return bool((found["episodes"] if found else 0) < episodes)
    except (OSError, ValueError, LookupError, TypeError):
        return episodes > 0


def snapshot(progress: Progress) -> Snapshot:
    """The progress now."""
    return Snapshot(
        progress.activity,
        progress.env_steps,
        progress.mean_return,
        progress.steps_per_second,
        progress.seconds_left,
    )


class _Reporter:
    """Reports a run's progress every now and then."""

    def __init__(self, report: Callable[[Snapshot], None]) -> None:
        self._report = report
        self._last = time.perf_counter()

    def step(self, progress: Progress) -> None:
        if (now := time.perf_counter()) - self._last > _REPORT_SECONDS:
            self._last = now
            self._report(snapshot(progress))
