"""Logs the metrics of a run with SB3's logger: `progress.csv` and TensorBoard."""

from __future__ import annotations

import csv
import math
import os
import secrets
from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.logger import (
    CSVOutputFormat,
    Logger,
    TensorBoardOutputFormat,
    filter_excluded_keys,
)
from torch.utils.tensorboard.writer import SummaryWriter

from hyperrl_env.learners import InnerLearner
from hyperrl_lab.folder import RunFolder
from hyperrl_lab.progress import Progress

PROGRESS_FILE, _EVENTS = "progress.csv", "events.out.tfevents"
# The first columns of `progress.csv`; the others follow by name, `hyper/*` before `train/*`.
_COLUMNS = (
    *("time/total_timesteps", "time/phases", "time/time_elapsed", "time/fps"),
    *("rollout/ep_rew_mean", "rollout/ep_len_mean", "hyper/reward", "hyper/epsilon"),
)
# A line takes milliseconds, mostly in TensorBoard: as long as an update phase of A2C.
_MANY, _LINES = 500, 200


def default_interval(phases: float) -> int:
    """Update phases per line: 1, or enough to give about 200 lines in a run of very many phases."""
    return math.ceil(phases / _LINES) if phases > _MANY else 1


def record_values(logger: Logger, hyperparameters: Mapping[str, float]) -> None:
    """Records the values in force at a hyper-step, for the mean in the next line."""
    for name, value in hyperparameters.items():
        logger.record_mean(f"hyper/{name}", value)


class RunLog:
    """Metrics of a run under SB3's names, one line every `log_interval` update phases.

    A line is logged at the environment steps that its last updates were trained on. The learner records
    `train/*` itself. `hyper/*` are means over all hyper-steps since the previous line, `rollout/*` over
    the last 100 inner episodes.

    Args:
        folder: Where `progress.csv` and the TensorBoard events go.
        learner: The run's learner, after `reset()`.
        progress: The run's progress.
        log_interval: Update phases per line; None: that of `default_interval`.
        state: A result of `state_dict` to continue from. Later lines are removed from the files, because
            the run will log them again.

    Raises:
        FileExistsError: The folder holds a `progress.csv` that is not the run's.
    """

    def __init__(
        self,
        folder: RunFolder,
        learner: InnerLearner,
        progress: Progress,
        log_interval: int | None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder = folder
        for name in self._events():
            path, size = folder.path / name, 0 if state is None else state["events"].get(name, 0)
            if size == 0:
                path.unlink()
            elif path.stat().st_size > size:
                os.truncate(path, size)
        self._csv = _CSV(str(folder.claim(PROGRESS_FILE)))
        self._tensorboard = _TensorBoard(folder)
        self._logger = Logger(str(folder.path), [self._csv, self._tensorboard])
        learner.model.set_logger(self._logger)
        self._progress = progress
        phases = progress.total_env_steps / (learner.n_steps * learner.n_envs)
        self._interval = default_interval(phases) if log_interval is None else log_interval
        self._next = 1
        self._pending = False
        if state is not None:
            self._load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """The lines so far, the sizes of the event files, and the values recorded since the last line."""
        self._tensorboard.writer.flush()
        logger, folder = self._logger, self._folder.path
        return {
            "csv": (folder / PROGRESS_FILE).read_text(encoding="utf-8"),
            "columns": list(self._csv.keys),
            "events": {name: (folder / name).stat().st_size for name in self._events()},
            "values": dict(logger.name_to_value),
            "counts": dict(logger.name_to_count),
            "excluded": dict(logger.name_to_excluded),
            "interval": self._interval,
            "next": self._next,
            "pending": self._pending,
        }

    def _events(self) -> list[str]:
        """Names of the run's own event files."""
        return [name for name in self._folder.own() if name.startswith(_EVENTS)]

    def _load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._csv.file.write(state["csv"])
        self._csv.file.flush()
        self._csv.keys = state["columns"]
        self._logger.name_to_value.update(state["values"])
        self._logger.name_to_count.update(state["counts"])
        self._logger.name_to_excluded.update(state["excluded"])
        # The interval too: it depends on the length of a phase, which a choice of `n_steps` changes.
        self._interval, self._next, self._pending = state["interval"], state["next"], state["pending"]

    def hyper_step(self, hyperparameters: Mapping[str, float], epsilon: float | None) -> None:
        """Records a hyper-step: values in force, and the agent's exploration rate if it has one."""
        record_values(self._logger, hyperparameters)
        self._logger.record_mean("hyper/epsilon", epsilon)
        self._pending = True

    def update_phase(self, hyper_reward: float | None) -> None:
        """Records the end of an update phase, and writes a line if one is due.

        Call it before the progress counts the environment phase that followed.
        """
        self._logger.record_mean("hyper/reward", hyper_reward)
        if self._progress.phase >= self._next:
            self.write()

    def write(self) -> None:
        """Writes a line with the values recorded since the last one, if there are any."""
        if not self._pending:
            return
        progress, record = self._progress, self._logger.record
        if progress.mean_return is not None:
            record("rollout/ep_rew_mean", progress.mean_return)
            record("rollout/ep_len_mean", progress.mean_length)
        record("time/fps", progress.steps_per_second)
        record("time/time_elapsed", progress.seconds)
        record("time/phases", progress.phase)
        record("time/total_timesteps", progress.env_steps)
        self._logger.dump(progress.env_steps)
        self._next = progress.phase + self._interval
        self._pending = False

    def close(self) -> None:
        """Writes the last line and closes the files."""
        self.write()
        self._logger.close()


class _CSV(CSVOutputFormat):
    """SB3's, with columns in the same order in every process."""

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0
    ) -> None:
        if new := filter_excluded_keys(key_values, key_excluded, "csv").keys() - self.keys:
            self._add_columns(new)
        super().write(key_values, key_excluded, step)

    def _add_columns(self, new: set[str]) -> None:
        self.file.seek(0)
        lines = list(csv.DictReader(self.file))
        self.keys = sorted({*self.keys, *new}, key=_place)
        self.file.seek(0)
        table = csv.DictWriter(self.file, self.keys, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(lines)


def _place(column: str) -> tuple[int, str]:
    return _COLUMNS.index(column) if column in _COLUMNS else len(_COLUMNS), column


class _TensorBoard(TensorBoardOutputFormat):
    """SB3's, in a file with a unique name, which is recorded as the run's."""

    def __init__(self, folder: RunFolder) -> None:
        mark = f".{secrets.token_hex(8)}"
        self.writer = SummaryWriter(log_dir=str(folder.path), filename_suffix=mark)
        self._is_closed = False
        for path in folder.path.glob(f"{_EVENTS}*{mark}"):
            folder.record(path.name)
