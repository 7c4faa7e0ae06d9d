"""A sweep: all runs of a study, carried out into one folder; what is done already is not done again."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from hyperrl_env.checks import check_at_least
from hyperrl_lab.lock import is_held
from hyperrl_lab.run import CHECKPOINT_MINUTES
from hyperrl_lab.studies.board import Board, Entry, Outcome
from hyperrl_lab.studies.executor import Executor
from hyperrl_lab.studies.job import Ending, Job, is_done
from hyperrl_lab.studies.processes import Processes
from hyperrl_lab.studies.record import RECORD_FILE, write_record
from hyperrl_lab.studies.study import Study

LOGS = "logs"
# Seconds between two looks at what has changed.
_TICK = 0.25


def sweep(
    study: Study,
    folder: Path,
    *,
    workers: int | None = None,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    executor: Executor | None = None,
    begin: Callable[[Board], None] = lambda board: None,
    watch: Callable[[Entry], None] = lambda entry: None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Carries out a study: begins, continues or skips every run, and evaluates it if the study says so.

    Several sweeps can work on one folder; a run that another one has is waited for.

    Args:
        study: The study. Its code of the user's own must have import paths: runs have their own processes.
        folder: Gets `study.json`, a folder per run, and `logs/` with what each run printed. Other files in
            it are left alone.
        workers: Processes, with one run each at a time. None: one per core.
        checkpoint_minutes: Minutes between checkpoints of a run.
        executor: What carries out the runs; it is closed at the end. None: `workers` processes on this
            machine.
        begin: Called once with the board, on which runs that are done already are finished.
        watch: Called with a run whenever its state on the board has changed.
        stop: Called several times per second; True asks all runs to write a checkpoint and end.

    Returns:
        What has finished, failed, or was interrupted. The exception of a run is a failure of that run.

    Raises:
        ValueError: The study is impossible; the message says what would be right. Or `study.json` is not
            the record of a study.
        FileExistsError: The folder holds something else in the place of `logs/`.
        OSError: The folder cannot be written.
    """
    if workers is not None:
        check_at_least("workers", workers, 1)
    with closing(executor or Processes(workers or os.cpu_count() or 1)) as executor:
        board = Board(_jobs(study, folder, checkpoint_minutes))
        _prepare(study, folder)
        for entry in board.entries():
            _look(entry, board)
        begin(board)
        _drive(board, executor, watch, stop)
    return board.outcome()


def _jobs(study: Study, folder: Path, checkpoint_minutes: float) -> list[Job]:
    folder = folder.resolve()
    return [
        Job(
            name=run.folder,
            folder=folder / run.folder,
            log=folder / LOGS / f"{run.folder}.log",
            config=run.config,
            evaluate_episodes=study.evaluate_episodes,
            checkpoint_minutes=checkpoint_minutes,
        )
        for run in study.runs()
    ]


def _prepare(study: Study, folder: Path) -> None:
    """Makes the sweep's own files in the folder."""
    logs = folder / LOGS
    if os.path.lexists(logs) and (
        logs.is_symlink() or not logs.is_dir() or not (folder / RECORD_FILE).exists()
    ):
        raise FileExistsError(
            f"{folder} holds {LOGS!r}, which no sweep wrote. Move it elsewhere, or give another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_record(study, folder)
    logs.mkdir(exist_ok=True)


def _look(entry: Entry, board: Board) -> None:
    """Enters what the folder of a run says by itself: that it is done, or holds another run."""
    job = entry.job
    try:
        if is_done(job.folder, job.config, job.evaluate_episodes):
            board.take(job.name, Ending("finished"))
    except (OSError, ValueError) as error:
        board.take(job.name, Ending("failed", str(error)))


def _drive(
    board: Board, executor: Executor, watch: Callable[[Entry], None], stop: Callable[[], bool]
) -> None:
    """Keeps the executor busy until nothing is left, or until all runs have ended after `stop`."""
    stopping = False
    while board.entries("running") or (not stopping and board.entries("waiting", "elsewhere")):
        if not stopping and stop():
            stopping = True
            executor.stop()
        if not stopping:
            for entry in board.due():
                if not executor.free:
                    break
                before = entry.state
                _begin(entry, board, executor)
                if entry.state != before:
                    watch(entry)
        for name, news in executor.events(_TICK):
            entry = board.take(name, news)
            if isinstance(news, Ending):
                watch(entry)


def _begin(entry: Entry, board: Board, executor: Executor) -> None:
    """Has a run carried out, unless another process has it."""
    if entry.state == "elsewhere":
        if is_held(entry.job.folder):
            board.take(entry.job.name, Ending("in use", entry.error))
            return
        # The other process may have finished it.
        _look(entry, board)
    if entry.state in ("waiting", "elsewhere"):
        entry.state = "running"
        executor.submit(entry.job)
