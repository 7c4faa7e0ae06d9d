"""One run: a hyper-agent on a Hyper-RL environment, from a configuration to a folder of results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from threadpoolctl import threadpool_limits

import agents
from hyperrl_env import CheckpointError, HyperRLEnv
from hyperrl_env.learners import InnerLearner
from hyperrl_env.policy import policy_state
from hyperrl_env.saving.checkpoint import State, write_checkpoint
from hyperrl_env.saving.files import whole_file, write_text
from hyperrl_env.saving.identity import as_plain_values, differences
from hyperrl_lab.checkpoints import Checkpoints
from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config, write_config
from hyperrl_lab.folder import RunFolder, check_unused
from hyperrl_lab.ids import resolve_id
from hyperrl_lab.importing import load_agent, load_env_kwargs
from hyperrl_lab.lock import FolderLock
from hyperrl_lab.log import PROGRESS_FILE, RunLog
from hyperrl_lab.plots import MEMORY_FILE, PICTURES, draw_pictures
from hyperrl_lab.progress import Progress
from hyperrl_lab.results import ENTRIES_FILE, SUMMARY_FILE, read_columns, write_entries
from hyperrl_lab.tables import TABLES, RunTables

# The policy as Stable-Baselines3 saves it, in pickles that this project never loads, and as it does.
MODEL_FILE, NORMALIZER_FILE, POLICY_FILE = "model.zip", "vecnormalize.pkl", "policy.zip"
_RESULTS = (
    *(PROGRESS_FILE, *TABLES, ENTRIES_FILE, SUMMARY_FILE),
    *(MODEL_FILE, NORMALIZER_FILE, POLICY_FILE),
    *(*PICTURES, MEMORY_FILE),
)
# During the run the Parquet files lag behind by at most this long.
_SECONDS_BETWEEN_WRITES = 120.0
CHECKPOINT_MINUTES = 5.0


class TrainingRun:
    """A run that is ready to start or to continue. It locks its folder until `train` or `close` is done.

    Args:
        config: The configuration.
        folder: Folder of the results: a new one, or one that is empty but for hidden files. `config.json`
            is written at once. No other process can use the folder until the run is over.
        checkpoint_minutes: Minutes between checkpoints; 0: one before every hyper-step.
        resume: Whether to continue the run in the folder from its last checkpoint.
        warn: Called with a message for each damaged checkpoint that is newer than the one used.

    Attributes:
        config: The configuration, with the id's version and the budget filled in.
        folder: Folder of the results.
        progress: The progress of the run.

    Raises:
        FileExistsError: The folder is not empty, or another process is using it; with `resume`, a file
            with the name of a result was not written by the run.
        NotADirectoryError: `folder` is not a folder.
        CheckpointError: The run cannot be resumed from its checkpoints; the message says why.
        ValueError: The configuration is impossible; the message says what would be right.
        gymnasium.error.Error: Gymnasium cannot make the environment.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        *,
        checkpoint_minutes: float = CHECKPOINT_MINUTES,
        resume: bool = False,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        if not 0 <= checkpoint_minutes < float("inf"):
            raise ValueError(f"checkpoint_minutes must be at least 0 and finite, not {checkpoint_minutes}.")
        self.folder = folder
        self._checkpoints = Checkpoints(folder, checkpoint_minutes)
        self._state: State | None = None
        with ExitStack() as stack:
            if resume or (folder / CONFIG_FILE).exists():
                self._take_folder(stack, resume)
            elif folder.exists():
                check_unused(folder)
            config = replace(config, id=resolve_id(config.id))
            self._env = make_env(config)
            stack.callback(self._env.close)
            self._inner: HyperRLEnv = self._env.unwrapped  # type: ignore[assignment]
            self._agent = agents.make(
                load_agent(config.agent), self._env, seed=config.seed, **config.agent_kwargs
            )
            self.config = replace(config, total_env_steps=self._inner.total_env_steps)
            self.progress = Progress(self._inner.total_env_steps)
            if resume:
                self._load(warn)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                self._take_folder(stack, resume)
                write_config(self.config, folder)
            self._held = stack.pop_all()

    def _take_folder(self, stack: ExitStack, resume: bool) -> None:
        if not self.folder.is_dir():
            raise NotADirectoryError(f"{self.folder} is not a folder.")
        stack.enter_context(FolderLock(self.folder))
        if not resume:
            check_unused(self.folder)
        self._files = RunFolder(self.folder)
        self._files.check(_RESULTS)
        self._files.tidy()

    def _load(self, warn: Callable[[str], None]) -> None:
        """Loads the last checkpoint; without one the run has not started."""
        state = self._checkpoints.last(warn)
        if state is None:
            # The first checkpoint is written before the first line of the log.
            if PROGRESS_FILE in self._files.own():
                raise CheckpointError(f"The checkpoints of the run in {self.folder} are missing.")
            return
        if found := differences(state["config"], as_plain_values(asdict(self.config))):
            raise CheckpointError(f"The checkpoint belongs to another run: {'; '.join(found)}.")
        self._inner.restore(state["env"])
        self._agent.load_state_dict(state["agent"])
        self.progress.load_state_dict(state["progress"])
        self._state = state

    @property
    def resumable(self) -> bool:
        """Whether the run has a checkpoint to resume from."""
        try:
            return bool(self._checkpoints.paths())
        except CheckpointError:
            return False

    def close(self) -> None:
        """Closes the environment and releases the folder's lock."""
        self._held.close()

    def train(
        self,
        on_step: Callable[[Progress], None] = lambda progress: None,
        stop: Callable[[], bool] = lambda: False,
        pictures: bool = True,
    ) -> dict[str, Any]:
        """Trains to the end of the budget and writes the results to the folder.

        If the loop raises an exception, the results so far are written before it propagates.

        Args:
            on_step: Called after every hyper-step; must be quick.
            stop: Called before every hyper-step; True interrupts the run.
            pictures: Whether to draw the pictures.

        Returns:
            The content of `summary.json`; `status` is "finished", "interrupted" (by `stop`), or
            "diverged" (every update of a phase was refused).
        """
        torch.set_num_threads(self.config.threads)
        # NumPy multiplies only small matrices; threads would mostly wait for each other.
        with closing(self), threadpool_limits(1, user_api="blas"):
            self.progress.start()
            self._begin()
            state = self._state or {"log": None}
            with closing(
                RunLog(
                    self._files, self._inner.learner, self.progress, self.config.log_interval, state["log"]
                )
            ) as self._log:
                try:
                    finished = self._loop(on_step, stop)
                except CheckpointError:
                    # The disk is full, but holds a checkpoint to resume from.
                    raise
                except Exception:
                    with suppress(OSError, CheckpointError):
                        self._checkpoints.write_remembered()
                        self._write("failed")
                    raise
            learner = self._inner.learner
            diverged = learner.updates_refused == learner.update_step
            memory = self._memory()
            if pictures:
                # Before the run counts as ended: what is recorded and not there, `draw_missing` draws. The
                # pictures of an interruption are of a part of the run.
                for name in (*PICTURES, *([] if memory is None else [MEMORY_FILE])):
                    self._files.claim(name).unlink(missing_ok=True)
            summary = self._write("interrupted" if not finished else "diverged" if diverged else "finished")
        if pictures:
            self.progress.activity = "drawing"
            draw_pictures(self.folder, self.config.name, memory)
        self.progress.activity = "done"
        return summary

    def _begin(self) -> None:
        """Brings the run to its first hyper-action, or to its state at the checkpoint."""
        state = self._state
        if state is None:
            self._obs, self._info = self._env.reset(seed=self.config.seed)
        else:
            self._obs, self._info = state["obs"], state["info"]
        self._tables = RunTables(self._inner, self.progress)
        if state is None:
            self._tables.begin(self._info)
            self._checkpoints.write(0, {**self._present_state(), "log": None})
        else:
            self._tables.load_state_dict(state)
            self._checkpoints.tidy()

    def _present_state(self) -> dict[str, Any]:
        """A copy of everything that the run depends on, but for the log."""
        return {
            "config": as_plain_values(asdict(self.config)),
            "env": self._inner.snapshot(),
            "agent": self._agent.state_dict(),
            "obs": self._obs,
            "info": self._info,
            **self._tables.state_dict(),
            "progress": self.progress.state_dict(),
        }

    def _loop(self, on_step: Callable[[Progress], None], stop: Callable[[], bool]) -> bool:
        """Steps until the run is finished or `stop` returns True; returns whether it is finished."""
        self.progress.activity = "training"
        self._written = time.perf_counter()

        def state() -> State:
            return {**self._present_state(), "log": self._log.state_dict()}

        steps = agents.steps(self._env, self._agent, self._obs, self._info)
        while not self._info["run_finished"]:
            if stop():
                self._checkpoints.write(self.progress.hyper_steps, state())
                return False
            self._checkpoints.offer(self.progress.hyper_steps, state)
            step = next(steps)
            self._record(step)
            self._obs, self._info = step.next_obs, step.next_info
            on_step(self.progress)
        return True

    def _record(self, step: agents.Step) -> None:
        """Records a hyper-step."""
        info = step.next_info
        self._tables.hyper_step(step)
        self._log.hyper_step(self.progress.hyperparameters, getattr(self._agent, "epsilon", None))
        if "phase_stats" in info:
            self._log.update_phase(None if info["run_finished"] else step.reward)
            self._tables.environment_phase(info)
            if time.perf_counter() - self._written > _SECONDS_BETWEEN_WRITES:
                self._tables.write(self._files)
                self._written = time.perf_counter()

    def _memory(self) -> Any:
        """The agent's episodic memory; None if it has none."""
        return getattr(self._agent, "memory", None)

    def _write(self, status: str) -> dict[str, Any]:
        """Writes all results but the pictures; returns the summary."""
        self.progress.stop()
        self.progress.activity = "writing"
        self._files.check(_RESULTS)
        self._tables.write(self._files)
        write_model(self._inner.learner, self._files)
        if (memory := self._memory()) is not None:
            write_entries(memory, self._files.claim(ENTRIES_FILE))
        cost = {"extra_env_steps": self._agent.extra_env_steps}
        summary = {"run": self.config.name, "status": status, **self.progress.summary(), **cost}
        write_text(self._files.claim(SUMMARY_FILE), json.dumps(summary, indent=2) + "\n")
        return summary


def draw_missing(folder: Path) -> bool:
    """Draws the pictures of a run that has ended, if its process was killed before they were there.

    Args:
        folder: The run's.

    Returns:
        Whether there was anything to draw.

    Raises:
        InUseError: Another process is using the folder, perhaps to draw them.
        OSError: A file cannot be read or written.
        ValueError: `config.json` or `files.json` is damaged.
    """
    if not RunFolder(folder).missing(PICTURES):
        return False
    with FolderLock(folder):
        files, memory = RunFolder(folder), None
        files.tidy()
        if ENTRIES_FILE in files.own():
            entries = read_columns(folder / ENTRIES_FILE)
            keys = np.stack([column for name, column in entries.items() if name.startswith("key_")], axis=1)
            memory = SimpleNamespace(keys=keys, actions=entries["action"], values=entries["value"])
        draw_pictures(folder, read_config(folder / CONFIG_FILE)[0].name, memory)
    return True


def write_model(learner: InnerLearner, files: RunFolder) -> None:
    """Writes the policy and its normaliser to a run's folder, for Stable-Baselines3 and for `evaluate`."""
    model = learner.model
    with whole_file(files.claim(MODEL_FILE)) as temporary:
        model.save(temporary)
    if (normalizer := model.get_vec_normalize_env()) is not None:
        with whole_file(files.claim(NORMALIZER_FILE)) as temporary:
            normalizer.save(str(temporary))
    write_checkpoint(files.claim(POLICY_FILE), policy_state(learner))


def make_env(config: RunConfig) -> gym.Env[Any, Any]:
    """The environment of a configuration.

    Raises:
        ValueError: Keywords that are unknown or impossible; the message says what would be right.
        gymnasium.error.Error: Gymnasium cannot make the environment.
    """
    kwargs = load_env_kwargs(config.env_kwargs)
    if config.total_env_steps is not None:
        kwargs["total_env_steps"] = config.total_env_steps
    # The checker would repeat at every step what the environment's tests check.
    return gym.make(config.id, disable_env_checker=True, **kwargs)
