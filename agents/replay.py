"""Replays a schedule that was found elsewhere: the values of a file, without an agent that chooses.

A schedule gives values over the progress of a run. It is cut into windows of equal length, each with one
value per hyperparameter, or with one per update.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

from agents.base import HyperAgent, Observation
from agents.pinned_file import read_pinned
from hyperrl_env import DEFINITIONS
from hyperrl_env.checks import is_number, unknown

FORMAT, VERSION = "hyperrl-schedule", 1
Windows = Sequence[float | Sequence[float]]


@dataclass(frozen=True)
class Course:
    """One hyperparameter's part of a schedule.

    Attributes:
        windows: A value per window, or a list of one per update; multiples of the task's own value if
            relative.
        relative: Whether they are multiples.
        values: The values themselves in the runs that the schedule is from, one per window.
    """

    windows: Windows
    relative: bool
    values: Sequence[float]

    def levels(self) -> list[float]:
        """The distinct values, ascending."""
        return sorted({level for window in self.windows for level in _updates(window)})

    def at(self, window: int, update: int, position: float) -> float:
        """The value of an update.

        Args:
            window: The window's number.
            update: The update's number in its phase.
            position: The fraction of the update phase before it, in [0, 1]; -1 if the run has as many
                phases as the schedule windows, so that updates are compared by their number.
        """
        updates = _updates(self.windows[window])
        index = update if position < 0 else int(position * len(updates))
        return updates[min(index, len(updates) - 1)]


@dataclass(frozen=True)
class Schedule:
    """Values of hyperparameters over the progress of a run.

    Attributes:
        algorithm: Of the inner learner.
        runs: The runs that it is from, in words.
        courses: By hyperparameter; all have the same number of windows.
    """

    algorithm: str
    runs: Sequence[str]
    courses: Mapping[str, Course]

    @property
    def n_windows(self) -> int:
        """How many windows there are."""
        return len(next(iter(self.courses.values())).windows)

    def window(self, phase: int, phases: int) -> int:
        """The window of an update phase in a run of so many phases."""
        return min(phase * self.n_windows // phases, self.n_windows - 1)

    def search_space(self) -> dict[str, dict[str, list[float]]]:
        """A search space, as `gym.make` takes it, that offers the schedule's values and the task's own."""
        return {
            name: {"multipliers": sorted({1.0, *c.levels()})} if c.relative else {"values": c.levels()}
            for name, c in self.courses.items()
        }

    def to_json(self) -> str:
        """The content of the schedule's file."""
        courses = {
            name: {"relative": c.relative, "windows": list(c.windows), "values": list(c.values)}
            for name, c in self.courses.items()
        }
        head = {"format": FORMAT, "version": VERSION, "algorithm": self.algorithm, "runs": list(self.runs)}
        return json.dumps({**head, "hyperparameters": courses}) + "\n"


def read_schedule(path: Path, sha256: str | None = None) -> Schedule:
    """Reads a schedule's file.

    Args:
        path: The file.
        sha256: What it must hash to; None: anything.

    Raises:
        ValueError: The file is missing, has changed, or is not a complete schedule.
    """
    data = read_pinned("schedule", path, sha256).content
    try:
        content = json.loads(data)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a schedule: `hyperrl schedule RUN --out {path.name}` writes one.")
    if content.get("version") != VERSION:
        raise ValueError(f"{path} is a schedule of version {content.get('version')!r}, not {VERSION}.")
    try:
        courses = {
            name: Course(course["windows"], bool(course["relative"]), course["values"])
            for name, course in content["hyperparameters"].items()
        }
        schedule = Schedule(str(content["algorithm"]), [str(run) for run in content["runs"]], courses)
        complete = bool(courses) and all(_is_complete(c, schedule.n_windows) for c in courses.values())
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a complete schedule: {error!r}.") from error
    if not complete:
        raise ValueError(
            f"{path} is not a complete schedule: every hyperparameter needs the same number of windows, of "
            "numbers."
        )
    for name in courses:
        if name not in DEFINITIONS:
            raise ValueError(f"{path}: {unknown('hyperparameter', name, DEFINITIONS)}")
    return schedule


class ReplayAgent(HyperAgent):
    """Sets the values of a schedule's file, whatever happens.

    The environment must offer them: the command line and studies see to that, and elsewhere
    `gym.make(id, **agents.env_kwargs("replay", schedule=file))` does.

    Args:
        env: See `HyperAgent`.
        seed: See `HyperAgent`; nothing is drawn.
        schedule: The file, as `hyperrl schedule` writes it.
        schedule_sha256: The SHA-256 that the file must have; the command line and studies fill it in.

    Raises:
        ValueError: The file is no schedule, or another one, or the environment does not offer its
            hyperparameters.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        seed: int = 0,
        *,
        schedule: str,
        schedule_sha256: str | None = None,
    ) -> None:
        super().__init__(env, seed)
        self._schedule = read_schedule(Path(schedule), schedule_sha256)
        names, ours = list(self._schedule.courses), list(self.search_space.names)
        if missing := [name for name in names if name not in ours]:
            raise ValueError(
                f"The schedule {schedule} is of {', '.join(names)}, and this environment offers "
                f"{', '.join(ours)} to choose, without {', '.join(missing)}."
            )

    @classmethod
    def env_kwargs(cls, *, schedule: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: the schedule's values as the search space."""
        return {
            "search_space": read_schedule(_given(schedule)).search_space(),
            "action_mode": "multi_discrete",
        }

    @classmethod
    def recorded_kwargs(
        cls, *, schedule: str | None = None, schedule_sha256: str | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """See `HyperAgent.recorded_kwargs`: with the hash of the schedule's file."""
        if schedule_sha256 is None:
            schedule_sha256 = read_pinned("schedule", _given(schedule)).sha256
        return {"schedule": schedule, "schedule_sha256": schedule_sha256, **kwargs}

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        learner, phases = self.env.learner, self.env.phases_per_run
        window = self._schedule.window(info["phase"], phases)
        position = -1.0 if phases == self._schedule.n_windows else learner.update_position
        own = learner.default_values()
        values = {}
        for name, course in self._schedule.courses.items():
            value = course.at(window, info["update_step"], position)
            value = value * own[name] if course.relative else value
            values[name] = round(value) if DEFINITIONS[name].integer else value
        return self.search_space.action(values, own)


def _given(schedule: str | None) -> Path:
    if schedule is None:
        raise ValueError("Agent 'replay' needs schedule=, a file that `hyperrl schedule` has written.")
    return Path(schedule)


def _updates(window: float | Sequence[float]) -> Sequence[float]:
    return window if isinstance(window, Sequence) else (window,)


def _is_complete(course: Course, n_windows: int) -> bool:
    windows = [_updates(window) for window in course.windows]
    return (
        0 < len(windows) == len(course.values) == n_windows
        and all(windows)
        and all(is_number(value) for window in (*windows, course.values) for value in window)
    )
