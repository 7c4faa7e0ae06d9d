"""The tables of a run, fed with what its environment reports (see `hyperrl_lab.results`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import agents
from hyperrl_env import HyperRLEnv
from hyperrl_lab.folder import RunFolder
from hyperrl_lab.phase_log import PhaseLog
from hyperrl_lab.progress import Progress
from hyperrl_lab.results import ACTIONS_FILE, EPISODES_FILE, PHASES_FILE, ActionLog, EpisodeLog

TABLES = (ACTIONS_FILE, EPISODES_FILE, PHASES_FILE)


class RunTables:
    """The actions, inner episodes and phases of a run.

    Args:
        env: The run's, which has begun.
        progress: The run's; it counts along.
    """

    def __init__(self, env: HyperRLEnv, progress: Progress) -> None:
        self._learner, self._names, self._progress = env.learner, env.search_space.names, progress
        self._defaults = self._learner.default_values()
        self._actions = ActionLog(env.search_space, list(self._defaults))
        self._episodes = EpisodeLog(self._learner.n_envs)
        self._phases = PhaseLog(self._learner)

    def begin(self, info: Mapping[str, Any]) -> None:
        """Takes in the info of the reset that started the run."""
        self.environment_phase(info)
        self._phases.record(info, info["hyperparameters"], 0.0)

    def hyper_step(self, step: agents.Step) -> None:
        """Takes in a hyper-step, but for the environment phase that followed, if one did."""
        info, progress = step.next_info, self._progress
        self._actions.record(step.info, step.action, self._defaults, step.reward, info)
        self._phases.record(info, self._defaults, step.reward)
        progress.hyper_steps += 1
        progress.finished = info["run_finished"]
        progress.diverged_steps += info["diverged"]
        progress.hyperparameters = {name: info["hyperparameters"][name] for name in self._names}
        if "phase_stats" in info:
            progress.phase = info["phase"]

    def environment_phase(self, info: Mapping[str, Any]) -> None:
        """Takes in the environment phase that an info with `phase_stats` reports, if there was one."""
        env_steps, stats = info["env_steps"], info["phase_stats"]
        if env_steps > self._progress.env_steps:
            if info.get("inner_episodes_restarted"):
                self._episodes.restart(self._progress.env_steps)
            self._progress.environment_phase(env_steps, stats["returns"], stats["lengths"])
            self._episodes.record(env_steps, stats["returns"], stats["lengths"])
        self._defaults = self._learner.default_values()

    def write(self, files: RunFolder) -> None:
        """Writes all rows so far to the run's folder."""
        for name, table in zip(TABLES, (self._actions, self._episodes, self._phases), strict=True):
            table.write(files.claim(name))

    def state_dict(self) -> dict[str, Any]:
        """All rows so far; a copy."""
        return {
            "actions": self._actions.state_dict(),
            "episodes": self._episodes.state_dict(),
            "phases": self._phases.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a result of `state_dict`; it may hold more."""
        self._actions.load_state_dict(state["actions"])
        self._episodes.load_state_dict(state["episodes"])
        self._phases.load_state_dict(state["phases"])
