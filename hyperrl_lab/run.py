"""One run: a hyper-agent on a Hyper-RL, from a configuration to a folder of results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from threadpoolctl import threadpool_limits

import agents
from hyperrl_env import Hyperparameter, HyperRLEnv
from hyperrl_env.files import whole_file, write_text
from hyperrl_lab.config import CONFIG_FILE, RunConfig, write_config
from hyperrl_lab.ids import resolve_id
from hyperrl_lab.log import RunLog
from hyperrl_lab.plots import draw_pictures
from hyperrl_lab.progress import Progress
from hyperrl_lab.results import ACTIONS_FILE, EPISODES_FILE, ActionLog, EpisodeLog

SUMMARY_FILE, MODEL_FILE, NORMALIZER_FILE = "summary.json", "model.zip", "vecnormalize.pkl"
# A crash of the machine costs at most this much of the columnar files.
_SECONDS_BETWEEN_WRITES = 120.0


class TrainingRun:
    """A run that is ready to start.

    Args:
        config: What to run.
        folder: Where the results go; made where it does not exist. `config.json` is written now.

    Attributes:
        config: What is run: the id with its version, the budget in numbers.
        folder: Where the results go.
        progress: How far the run is.

    Raises:
        FileExistsError: The folder already holds a run.
        ValueError: The configuration is impossible; the message says what would be right.
        gymnasium.error.Error: Gymnasium cannot make the environment.
    """

    def __init__(self, config: RunConfig, folder: Path) -> None:
        if (folder / CONFIG_FILE).exists():
            raise FileExistsError(f"{folder} already holds a run: give another folder.")
        config = replace(config, id=resolve_id(config.id))
        env = make_env(config)
        try:
            self._env = env
            self._inner: HyperRLEnv = env.unwrapped  # type: ignore[assignment]
            self._agent = agents.make(config.agent, env, seed=config.seed, **config.agent_kwargs)
            self.config = replace(config, total_env_steps=self._inner.total_env_steps)
            self.folder = folder
            folder.mkdir(parents=True, exist_ok=True)
            write_config(self.config, folder)
        except BaseException:
            env.close()
            raise
        self.progress = Progress(self._inner.total_env_steps)

    def train(
        self,
        on_step: Callable[[Progress], None] = lambda progress: None,
        stop: Callable[[], bool] = lambda: False,
        pictures: bool = True,
    ) -> dict[str, Any]:
        """Trains to the end of the budget, and leaves the results in the folder.

        Where the loop fails, what there is by then is written before the error goes on.

        Args:
            on_step: Called after every hyper-step; shall be quick.
            stop: Asked before every hyper-step whether to end here.
            pictures: Whether to draw.

        Returns:
            The content of `summary.json`; `status` is "finished", "interrupted" (by `stop`), or
            "diverged" (every update of a whole phase was refused).
        """
        torch.set_num_threads(self.config.threads)
        # NumPy multiplies small matrices only, where threads would mostly wait for each other.
        with closing(self._env), threadpool_limits(1, user_api="blas"):
            self.progress.start()
            obs, info = self._env.reset(seed=self.config.seed)
            self._actions = ActionLog(self._inner.search_space, list(info["hyperparameters"]))
            self._episodes = EpisodeLog(self._inner.learner.n_envs)
            self._take_phase(info)
            with closing(
                RunLog(self.folder, self._inner.learner, self.progress, self.config.log_interval)
            ) as log:
                try:
                    finished = self._loop(obs, info, log, on_step, stop)
                except Exception:
                    self._write("failed")
                    raise
            early = self.progress.env_steps < self.progress.total_env_steps
            summary = self._write("interrupted" if not finished else "diverged" if early else "finished")
        if pictures:
            self.progress.activity = "drawing"
            draw_pictures(self.folder, self.config.name, getattr(self._agent, "memory", None))
        self.progress.activity = "done"
        return summary

    def _loop(
        self,
        obs: Any,
        info: Mapping[str, Any],
        log: RunLog,
        on_step: Callable[[Progress], None],
        stop: Callable[[], bool],
    ) -> bool:
        """Steps until the run is finished or `stop` says so; whether it is finished."""
        env, agent, progress = self._env, self._agent, self.progress
        names = self._inner.search_space.names
        progress.activity = "training"
        defaults = self._inner.learner.default_values()
        written = time.perf_counter()
        while not info["run_finished"]:
            if stop():
                return False
            action = agent.act(obs, info)
            next_obs, reward, terminated, truncated, next_info = env.step(action)
            reward = float(reward)
            agent.observe(obs, action, reward, next_obs, terminated, truncated, next_info)

            self._actions.record(info, action, defaults, reward, next_info)
            progress.hyper_steps += 1
            progress.diverged_steps += next_info["diverged"]
            progress.hyperparameters = {name: next_info["hyperparameters"][name] for name in names}
            log.hyper_step(progress.hyperparameters, getattr(agent, "epsilon", None))
            if "phase_stats" in next_info:
                self._take_phase(next_info)
                log.update_phase(None if next_info["run_finished"] else reward)
                defaults = self._inner.learner.default_values()
                if time.perf_counter() - written > _SECONDS_BETWEEN_WRITES:
                    self._write_columns()
                    written = time.perf_counter()
            obs, info = next_obs, next_info
            if (terminated or truncated) and not info["run_finished"]:
                obs, info = env.reset()
            on_step(progress)
        return True

    def _take_phase(self, info: Mapping[str, Any]) -> None:
        env_steps, stats = info["env_steps"], info["phase_stats"]
        self.progress.phase = info["phase"]
        if env_steps > self.progress.env_steps:
            self.progress.environment_phase(env_steps, stats["returns"], stats["lengths"])
            self._episodes.record(env_steps, stats["returns"], stats["lengths"])

    def _write_columns(self) -> None:
        self._actions.write(self.folder / ACTIONS_FILE)
        self._episodes.write(self.folder / EPISODES_FILE)

    def _write(self, status: str) -> dict[str, Any]:
        """Writes everything but the pictures; returns the summary."""
        self.progress.stop()
        self.progress.activity = "writing"
        self._write_columns()
        model = self._inner.learner.model
        with whole_file(self.folder / MODEL_FILE) as temporary:
            model.save(temporary)
        if (normalizer := model.get_vec_normalize_env()) is not None:
            with whole_file(self.folder / NORMALIZER_FILE) as temporary:
                normalizer.save(str(temporary))
        summary = {"run": self.config.name, "status": status, **self.progress.summary()}
        write_text(self.folder / SUMMARY_FILE, json.dumps(summary, indent=2) + "\n")
        return summary


def make_env(config: RunConfig) -> gym.Env[Any, Any]:
    """The environment of a configuration.

    Raises:
        ValueError: Keywords that are unknown or impossible; the message says what would be right.
        gymnasium.error.Error: Gymnasium cannot make the environment.
    """
    kwargs = dict(config.env_kwargs)
    if config.total_env_steps is not None:
        kwargs["total_env_steps"] = config.total_env_steps
    if isinstance(kwargs.get("search_space"), list):
        kwargs["search_space"] = [_hyperparameter(item) for item in kwargs["search_space"]]
    # The checker repeats at every step what the environment's own tests make sure of.
    return gym.make(config.id, disable_env_checker=True, **kwargs)


def _hyperparameter(item: Any) -> Any:
    """JSON's form of a `Hyperparameter`, an object of its arguments, as one; names as they are."""
    if not isinstance(item, Mapping):
        return item
    try:
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in item.items()}
        return Hyperparameter(**arguments)
    except TypeError as error:
        raise ValueError(f"search_space: {dict(item)} is not a hyperparameter: {error}.") from error
