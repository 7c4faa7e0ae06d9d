"""SB3's logger on a run: `progress.csv` and TensorBoard."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from stable_baselines3.common.logger import CSVOutputFormat, TensorBoardOutputFormat, configure

from hyperrl_env.learners import InnerLearner
from hyperrl_lab.progress import Progress

PROGRESS_FILE, _EVENTS = "progress.csv", "events.out.tfevents*"
# A line takes milliseconds, most of them TensorBoard's; an update phase of A2C takes no longer.
_MANY, _LINES = 500, 200


def default_interval(phases: float) -> int:
    """Update phases per line: 1, or so many that a run of very many phases has about 200 lines."""
    return math.ceil(phases / _LINES) if phases > _MANY else 1


class RunLog:
    """Metrics of a run under SB3's names, one line every `log_interval` update phases.

    The learner records `train/*` itself. `hyper/*` are means over all hyper-steps since the last
    line, `rollout/*` over the last 100 inner episodes.

    Args:
        folder: Where `progress.csv` and the TensorBoard events go.
        learner: The run's learner, after `reset()`.
        progress: The run's progress.
        log_interval: Update phases per line; None: as `default_interval` says.
        state: What `state_dict` gave, to go on from there: what was logged after it is taken out of the
            files, because it will be logged again.
    """

    def __init__(
        self,
        folder: Path,
        learner: InnerLearner,
        progress: Progress,
        log_interval: int | None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self._folder = folder
        for path in folder.glob(_EVENTS):
            size = 0 if state is None else state["events"].get(path.name, 0)
            if size == 0:
                path.unlink()
            elif path.stat().st_size > size:
                os.truncate(path, size)
        self._logger = configure(str(folder), ["csv", "tensorboard"])
        self._csv, self._tensorboard = (
            cast(CSVOutputFormat, self._logger.output_formats[0]),
            cast(TensorBoardOutputFormat, self._logger.output_formats[1]),
        )
        learner.model.set_logger(self._logger)
        self._progress = progress
        phases = progress.total_env_steps / (learner.n_steps * learner.n_envs)
        self._interval = default_interval(phases) if log_interval is None else log_interval
        self._next = 1
        self._pending = False
        if state is not None:
            self._load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """The lines so far, where the events end, and what has been noted since the last line."""
        self._tensorboard.writer.flush()
        logger = self._logger
        return {
            "csv": (self._folder / PROGRESS_FILE).read_bytes(),
            "columns": list(self._csv.keys),
            "events": {path.name: path.stat().st_size for path in self._folder.glob(_EVENTS)},
            "values": dict(logger.name_to_value),
            "counts": dict(logger.name_to_count),
            "excluded": dict(logger.name_to_excluded),
            "next": self._next,
            "pending": self._pending,
        }

    def _load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._csv.file.write(state["csv"].decode())
        self._csv.file.flush()
        self._csv.keys = state["columns"]
        self._logger.name_to_value.update(state["values"])
        self._logger.name_to_count.update(state["counts"])
        self._logger.name_to_excluded.update(state["excluded"])
        self._next, self._pending = state["next"], state["pending"]

    def hyper_step(self, hyperparameters: Mapping[str, float], epsilon: float | None) -> None:
        """Takes note of a hyper-step: values in force, the agent's exploration rate where it has one."""
        for name, value in hyperparameters.items():
            self._logger.record_mean(f"hyper/{name}", value)
        self._logger.record_mean("hyper/epsilon", epsilon)
        self._pending = True

    def update_phase(self, hyper_reward: float | None) -> None:
        """Takes note of the end of an update phase, and writes a line where one is due."""
        self._logger.record_mean("hyper/reward", hyper_reward)
        if self._progress.phase >= self._next:
            self.write()

    def write(self) -> None:
        """Writes a line with what has been noted since the last one, if anything has."""
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
        """Writes what is left and closes the files."""
        self.write()
        self._logger.close()
