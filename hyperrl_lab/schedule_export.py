"""The schedule of hyperparameters that runs have found: to be replayed, or set in plain Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.replay import Course, Schedule
from hyperrl_env import DEFINITIONS, HyperRLEnv
from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config
from hyperrl_lab.ids import id_kwargs
from hyperrl_lab.results import Columns, acting, read_actions
from hyperrl_lab.run import make_env

WINDOWS, SMOOTHING = 100, 5
# What Stable-Baselines3 cannot change during `learn()`: its buffer has room for rollouts of one length.
_FIXED = "n_steps"
_Bins = tuple[bool, Sequence[float]]


def export_schedule(
    folders: Sequence[Path], *, windows: int = WINDOWS, smoothing: int = SMOOTHING, exact: bool = False
) -> Schedule:
    """The median of what runs chose, over their progress.

    The runs are cut into windows of equal length. Multiples of the task's own value stay multiples.
    Choices at a learning rate of 0 had no effect and do not count; a window without others repeats the one
    before it.

    Args:
        folders: The runs'; they must have chosen the same hyperparameters of the same algorithm.
        windows: The most windows; fewer if the runs have fewer update phases.
        smoothing: Windows that a value is the mean of, on a logarithmic scale if that is the
            hyperparameter's; 1: no smoothing.
        exact: Instead of all this, every choice of a single run.

    Raises:
        ValueError: A folder without a run, a run without choices, runs that do not fit together, or `exact`
            for several runs.
        FileNotFoundError: A run has written no actions yet.
    """
    if exact and len(folders) > 1:
        raise ValueError("An exact schedule is that of a single run: give one folder, or leave out --exact.")
    runs = [_Choices(folder) for folder in folders]
    first = runs[0]
    for run in runs[1:]:
        if (run.algorithm, set(run.bins)) != (first.algorithm, set(first.bins)):
            raise ValueError(
                f"{run.folder} ({run.algorithm}: {', '.join(run.bins)}) does not fit {first.folder} "
                f"({first.algorithm}: {', '.join(first.bins)}): give runs that chose the same."
            )
    phases = min(run.n_phases for run in runs)
    n_windows = phases if exact else min(windows, phases)
    window = np.concatenate([run.windows(n_windows) for run in runs])
    acted = np.concatenate([run.acted for run in runs])
    courses = {}
    for name, (relative, _) in first.bins.items():
        chosen = np.concatenate([run.choices(name) for run in runs])
        if exact:
            medians = _medians(window, chosen, n_windows)
        else:
            medians = _medians(window[acted], chosen[acted], n_windows)
            medians = _smooth(medians, smoothing, DEFINITIONS[name].scale)
        own = _medians(window, np.concatenate([run.own(name) for run in runs]), n_windows)
        values = medians * own if relative else medians
        per_phase = np.split(chosen, np.flatnonzero(np.diff(first.phase)) + 1) if exact else medians
        courses[name] = Course([part.tolist() for part in per_phase], relative, values.tolist())
    return Schedule(first.algorithm, [run.config.name for run in runs], courses)


class _Choices:
    """What a run chose, with the meaning of its actions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: RunConfig = read_config(folder / CONFIG_FILE)[0]
        self.algorithm: str = id_kwargs(self.config.id).get("algorithm", "PPO")
        self._actions: Columns = read_actions(folder)
        if not len(self._actions["phase"]):
            raise ValueError(f"{folder}: the run has not chosen anything yet.")
        with closing(make_env(self.config)) as env:
            inner = env.unwrapped
            assert isinstance(inner, HyperRLEnv)
            space = inner.search_space
            self.bins: dict[str, _Bins] = {
                h.name: (h.relative, space.bins[h.name]) for h in space.hyperparameters
            }
        self.phase: NDArray[Any] = self._actions["phase"] - self._actions["phase"][0]
        self.n_phases = int(self.phase[-1]) + 1
        acted = acting(self._actions)
        self.acted = acted if acted.any() else np.ones_like(acted)

    def windows(self, n_windows: int) -> NDArray[Any]:
        """The window of every choice."""
        found: NDArray[Any] = self.phase * n_windows // self.n_phases
        return found

    def own(self, name: str) -> NDArray[np.float64]:
        """The task's own values."""
        return np.asarray(self._actions[f"default.{name}"], np.float64)

    def choices(self, name: str) -> NDArray[np.float64]:
        """The values, or the multiples of the task's own; bins to the bit."""
        values = np.asarray(self._actions[name], np.float64)
        relative, bins = self.bins[name]
        if not relative:
            return values
        own = self.own(name)
        # All multiples of a learning rate of 0 are 0: these choices say nothing, and keep the task's own.
        effective = acting(self._actions) & (own > 0)
        multiples = np.divide(values, own, out=np.ones(len(values)), where=effective)
        nearest = np.asarray(bins)[np.abs(multiples[:, None] - np.asarray(bins)).argmin(axis=1)]
        # A whole number is rounded, and a box offers more than the bins.
        tolerance = 0.5 / np.maximum(own, 1e-300) if DEFINITIONS[name].integer else 1e-9 * nearest
        return np.where(np.abs(multiples - nearest) <= tolerance, nearest, multiples)


def _medians(window: NDArray[Any], column: NDArray[np.float64], n_windows: int) -> NDArray[np.float64]:
    """The median of a column in every window; one without a row has that of the last with rows before it."""
    found = np.unique(window)
    medians = np.array([np.median(column[window == number]) for number in found])
    return np.asarray(medians[(np.searchsorted(found, np.arange(n_windows), "right") - 1).clip(min=0)])


def _smooth(values: NDArray[np.float64], smoothing: int, scale: str) -> NDArray[np.float64]:
    """The mean over so many windows around each; fewer at the ends."""
    if smoothing == 1:
        return values
    logarithmic = scale == "log" and bool((values > 0).all())
    column = np.log(values) if logarithmic else values
    window, after = np.ones(smoothing), smoothing // 2
    around = slice(after, after + len(column))
    smooth = np.convolve(column, window)[around] / np.convolve(np.ones(len(column)), window)[around]
    # Digits beyond these mean nothing, and would make many levels out of one.
    return np.array([float(f"{value:.6g}") for value in (np.exp(smooth) if logarithmic else smooth)])


_HEAD = '''\
"""The schedule of {runs}, for Stable-Baselines3's {algorithm}."""

from stable_baselines3.common.callbacks import BaseCallback

# A value per window of the run, all windows of equal length.
{remark}VALUES = {values}


class Schedule(BaseCallback):
    """Sets the hyperparameters of every update phase: model.learn(total, callback=Schedule(total))."""

    def __init__(self, total_timesteps):
        super().__init__()
        self.total_timesteps = total_timesteps
        self.phase = -1

    def _on_training_start(self):
        # PPO's own clip ranges: the value function's keeps its ratio to the policy's.
        self.clips = [getattr(self.model, name, None) for name in ("clip_range", "clip_range_vf")]

    def _on_rollout_start(self):
        self.phase += 1
        rollout = self.model.n_steps * self.model.n_envs
        phases = -(-self.total_timesteps // rollout)
        for name, values in VALUES.items():
            self.set(name, values[min(self.phase * len(values) // phases, len(values) - 1)])

    def set(self, name, value):
        if name == "learning_rate":
            self.model.lr_schedule = lambda progress_remaining: value
        elif name == "clip_range":
            clip, clip_vf = self.clips
            self.model.clip_range = lambda progress_remaining: value
            if clip_vf is not None:
                def of_values(left):
                    return clip_vf(left) * (value / clip(left) if clip(left) else 1.0)

                self.model.clip_range_vf = of_values
        else:
            setattr(self.model, name, value)
            if name in ("gamma", "gae_lambda"):
                setattr(self.model.rollout_buffer, name, value)

    def _on_step(self):
        return True
'''


def python_code(schedule: Schedule) -> str:
    """A Stable-Baselines3 callback that sets the schedule, as the text of a module.

    It needs nothing of this project. It sets one value per update phase, but not what `left_out` names.
    """
    columns = []
    for name, course in schedule.courses.items():
        if name == _FIXED:
            continue
        own = DEFINITIONS[name]
        values = [own.kind(round(v) if own.integer else v) for v in course.values]
        columns.append(f"    {name!r}: {values!r},")
    listed = "{\n" + "\n".join(columns) + "\n}"
    missing = left_out(schedule)
    return _HEAD.format(
        runs="; ".join(schedule.runs),
        algorithm=schedule.algorithm,
        remark=f"# {missing}\n" if missing else "",
        values=listed,
    )


def left_out(schedule: Schedule) -> str:
    """What `python_code` leaves out of a schedule and why, in a sentence; "" if it holds everything."""
    if _FIXED not in schedule.courses:
        return ""
    return f"{_FIXED} is left out: Stable-Baselines3 fixes the length of rollouts when a model is made."
