"""One agent of a population: a run whose hyperparameters are set from outside, between two perturbations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

import agents
from agents.fixed import FixedAgent
from hyperrl_env import HyperRLEnv
from hyperrl_env.saving.checkpoint import read_checkpoint, write_checkpoint
from hyperrl_env.saving.files import write_text
from hyperrl_lab.config import RunConfig, write_config
from hyperrl_lab.folder import RunFolder
from hyperrl_lab.plots import CURVE_FILE, SCHEDULE_FILE, draw_pictures
from hyperrl_lab.progress import Progress
from hyperrl_lab.results import SUMMARY_FILE
from hyperrl_lab.run import make_env, write_model
from hyperrl_lab.search.ranges import run_keywords
from hyperrl_lab.tables import RunTables


class Member:
    """A run that is advanced part by part, and whose state can be another member's.

    Its state is complete: a member that continues from its own goes on as if nothing had happened, to the
    bit. One that continues from another member's draws from generators of its own from then on.

    Args:
        config: The run's; its seed is the member's, its agent names the method.
        values: The hyperparameters in force, by name, at the start of the run (multiples follow the task's
            schedule).

    Attributes:
        config: The configuration.
        progress: The progress of the run.
    """

    def __init__(self, config: RunConfig, values: Mapping[str, float]) -> None:
        config = replace(config, env_kwargs=run_keywords(config.env_kwargs))
        self._env = make_env(config)
        self._inner: HyperRLEnv = self._env.unwrapped  # type: ignore[assignment]
        self.restart(config, values)

    def restart(self, config: RunConfig, values: Mapping[str, float]) -> None:
        """Becomes a member that has not begun.

        Args:
            config: As before but for the seed and the agent.
            values: As for the constructor.
        """
        self.config = replace(config, env_kwargs=run_keywords(config.env_kwargs))
        self.progress = Progress(self._inner.total_env_steps)
        self._agent = FixedAgent(self._env, self.config.seed, action=dict(values))
        self._info: dict[str, Any] | None = None

    def close(self) -> None:
        """Closes the environment."""
        self._env.close()

    @property
    def finished(self) -> bool:
        """Whether the budget is spent, or the run has diverged."""
        return self._info is not None and bool(self._info["run_finished"])

    @property
    def score(self) -> float:
        """The mean return of the last 100 inner episodes; NaN before the first."""
        return float("nan") if self.progress.mean_return is None else self.progress.mean_return

    def advance(self, env_steps: int) -> None:
        """Trains until the run has this many environment steps; to its end if that is the budget."""
        torch.set_num_threads(self.config.threads)
        with threadpool_limits(1, user_api="blas"):
            info = self._begin() if self._info is None else self._info
            for step in agents.steps(self._env, self._agent, self._obs, info):
                self._record(step)
                if env_steps <= self.progress.env_steps < self.progress.total_env_steps:
                    break

    def _begin(self) -> dict[str, Any]:
        self._obs, self._info = self._env.reset(seed=self.config.seed)
        self._tables = RunTables(self._inner, self.progress)
        self._tables.begin(self._info)
        return self._info

    def _record(self, step: agents.Step) -> None:
        self._obs, self._info = step.next_obs, step.next_info
        self._tables.hyper_step(step)
        if "phase_stats" in self._info:
            self._tables.environment_phase(self._info)

    def save(self, path: Path) -> None:
        """Writes the member's state to a file."""
        write_checkpoint(
            path,
            {
                "seed": self.config.seed,
                "env": self._inner.snapshot(),
                "obs": self._obs,
                "info": self._info,
                **self._tables.state_dict(),
                "progress": self.progress.state_dict(),
            },
        )

    def load(self, path: Path) -> None:
        """Continues from a state that `save` of this or another member of the population wrote.

        Raises:
            CheckpointError: The file is damaged, or of another configuration.
        """
        state: dict[str, Any] = read_checkpoint(path)
        self._inner.restore(state["env"])
        self._obs, self._info = state["obs"], state["info"]
        if state["seed"] != self.config.seed:
            # With the donor's hyperparameters and draws it would only repeat the donor.
            entropy = [self.config.seed, self._info["env_steps"]]
            self._inner.reseed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        self.progress = Progress(self._inner.total_env_steps)
        self.progress.load_state_dict(state["progress"])
        self._tables = RunTables(self._inner, self.progress)
        self._tables.load_state_dict(state)
        self.progress.start()

    def write(self, folder: Path, *, pictures: bool) -> dict[str, Any]:
        """Writes the results to a new folder, as those of a run; returns the content of `summary.json`."""
        folder.mkdir(parents=True)
        write_config(self.config, folder)
        files = RunFolder(folder)
        self._tables.write(files)
        learner = self._inner.learner
        write_model(learner, files)
        diverged = learner.updates_refused == learner.update_step
        status = "interrupted" if not self.finished else "diverged" if diverged else "finished"
        summary = {"run": self.config.name, "status": status, **self.progress.summary(), "extra_env_steps": 0}
        write_text(files.claim(SUMMARY_FILE), json.dumps(summary, indent=2) + "\n")
        if pictures:
            for name in (CURVE_FILE, SCHEDULE_FILE):
                files.claim(name)
            draw_pictures(folder, self.config.name)
        return summary
