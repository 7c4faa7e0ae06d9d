"""One agent of a population: a run whose hyperparameters are set from outside, between two perturbations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

import agents
from agents.fixed import FixedAgent
from hyperrl_env import HyperRLEnv
from hyperrl_env.saving.checkpoint import read_checkpoint, write_checkpoint
from hyperrl_env.saving.files import write_text
from hyperrl_lab.config import RunConfig, write_config
from hyperrl_lab.folder import RunFolder
from hyperrl_lab.phase_log import PhaseLog
from hyperrl_lab.plots import CURVE_FILE, SCHEDULE_FILE, draw_pictures
from hyperrl_lab.progress import Progress
from hyperrl_lab.results import ACTIONS_FILE, EPISODES_FILE, PHASES_FILE, SUMMARY_FILE, ActionLog, EpisodeLog
from hyperrl_lab.run import make_env, write_model
from hyperrl_lab.search.ranges import run_keywords


class Member:
    """A run that is advanced part by part, and whose state can be another member's.

    Its state is complete: two members of one configuration with the same state and hyperparameters go on
    alike, to the bit.

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
        self._actions = ActionLog(self._inner.search_space, list(self._info["hyperparameters"]))
        self._episodes = EpisodeLog(self._inner.learner.n_envs)
        self._defaults = self._inner.learner.default_values()
        self._phases = PhaseLog(self._inner.learner)
        self._take_phase(self._info)
        self._phases.record(self._info, self._info["hyperparameters"], 0.0)
        return self._info

    def _record(self, step: agents.Step) -> None:
        info = step.next_info
        self._actions.record(step.info, step.action, self._defaults, step.reward, info)
        self._phases.record(info, self._defaults, step.reward)
        self.progress.hyper_steps += 1
        self.progress.diverged_steps += info["diverged"]
        self.progress.finished = info["run_finished"]
        self._obs, self._info = step.next_obs, info
        if "phase_stats" in info:
            self.progress.phase = info["phase"]
            self._defaults = self._inner.learner.default_values()
            self._take_phase(info)

    def _take_phase(self, info: Mapping[str, Any]) -> None:
        env_steps, stats = info["env_steps"], info["phase_stats"]
        if env_steps > self.progress.env_steps:
            if info.get("inner_episodes_restarted"):
                self._episodes.restart(self.progress.env_steps)
            self.progress.environment_phase(env_steps, stats["returns"], stats["lengths"])
            self._episodes.record(env_steps, stats["returns"], stats["lengths"])

    def save(self, path: Path) -> None:
        """Writes the member's state to a file."""
        write_checkpoint(
            path,
            {
                "env": self._inner.snapshot(),
                "obs": self._obs,
                "info": self._info,
                "actions": self._actions.state_dict(),
                "episodes": self._episodes.state_dict(),
                "phases": self._phases.state_dict(),
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
        self._actions = ActionLog(self._inner.search_space, list(state["info"]["hyperparameters"]))
        self._actions.load_state_dict(state["actions"])
        self._episodes = EpisodeLog(self._inner.learner.n_envs)
        self._episodes.load_state_dict(state["episodes"])
        self._phases = PhaseLog(self._inner.learner)
        self._phases.load_state_dict(state["phases"])
        self._defaults = self._inner.learner.default_values()
        self.progress = Progress(self._inner.total_env_steps)
        self.progress.load_state_dict(state["progress"])
        self.progress.start()

    def write(self, folder: Path, *, pictures: bool) -> dict[str, Any]:
        """Writes the results to a new folder, as those of a run; returns the content of `summary.json`."""
        folder.mkdir(parents=True)
        write_config(self.config, folder)
        files = RunFolder(folder)
        self._actions.write(files.claim(ACTIONS_FILE))
        self._episodes.write(files.claim(EPISODES_FILE))
        self._phases.write(files.claim(PHASES_FILE))
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
