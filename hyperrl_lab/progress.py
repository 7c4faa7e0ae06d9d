"""The progress of a run: steps, score and speed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from hyperrl_lab.summaries import SCORE_EPISODES, score

# The speed is measured over this many phases: enough to be steady, few enough to follow a change.
_PHASES = 20

_COUNTED = (
    *("env_steps", "phase", "hyper_steps", "diverged_steps", "episodes"),
    *("mean_return", "mean_length"),
)


class Progress:
    """The progress of a run; the loop updates it, displays and logs read it.

    Args:
        total_env_steps: The budget.

    Attributes:
        activity: What the run is doing, in a word or two.
        env_steps: Inner environment steps collected.
        phase: Update phases finished.
        hyper_steps: Hyper-actions taken.
        diverged_steps: Hyper-steps in which an update was refused.
        episodes: Inner episodes ended.
        mean_return: The score: the mean return of the last 100 inner episodes; None before the first.
        mean_length: Their mean length.
        finished: Whether the last hyper-action was taken.
        hyperparameters: Values in force of the hyperparameters that the hyper-agent chooses.
    """

    def __init__(self, total_env_steps: int) -> None:
        self.total_env_steps = total_env_steps
        self.activity = "starting"
        self.env_steps = self.phase = self.hyper_steps = self.diverged_steps = self.episodes = 0
        self.mean_return: float | None = None
        self.mean_length: float | None = None
        self.finished = False
        self.hyperparameters: Mapping[str, float] = {}
        self._returns: deque[float] = deque(maxlen=SCORE_EPISODES)
        self._lengths: deque[int] = deque(maxlen=SCORE_EPISODES)
        self._seconds: float | None = None
        self._seconds_before = 0.0
        self.start()

    def start(self) -> None:
        """Starts the clock; in a resumed run it includes the earlier time."""
        now = time.perf_counter()
        self._started = now - self._seconds_before
        self._marks = deque([(now, self.env_steps)], maxlen=_PHASES + 1)

    def state_dict(self) -> dict[str, Any]:
        """The progress, and the time that it took."""
        return {
            **{name: getattr(self, name) for name in _COUNTED},
            "hyperparameters": dict(self.hyperparameters),
            "returns": list(self._returns),
            "lengths": list(self._lengths),
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a result of `state_dict`; call `start` afterwards."""
        for name in _COUNTED:
            setattr(self, name, state[name])
        self.hyperparameters = state["hyperparameters"]
        self._returns.extend(state["returns"])
        self._lengths.extend(state["lengths"])
        self._seconds_before = state["seconds"]

    def stop(self) -> None:
        """Stops the clock."""
        self._seconds = self.seconds

    @property
    def seconds(self) -> float:
        """Wall-clock seconds between start and stop, or until now."""
        return time.perf_counter() - self._started if self._seconds is None else self._seconds

    def environment_phase(self, env_steps: int, returns: Sequence[float], lengths: Sequence[int]) -> None:
        """Counts an environment phase: the steps at its end, the inner episodes that ended in it."""
        self.env_steps = env_steps
        self._marks.append((time.perf_counter(), env_steps))
        if returns:
            self.episodes += len(returns)
            self._returns.extend(returns)
            self._lengths.extend(lengths)
            self.mean_return = score(list(self._returns))
            self.mean_length = score(list(self._lengths))

    @property
    def steps_per_second(self) -> float:
        """Recent environment steps per second, updates included."""
        (then, steps_then), (now, steps_now) = self._marks[0], self._marks[-1]
        return (steps_now - steps_then) / (now - then) if now > then else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Wall-clock seconds until the run is finished, at the present speed; None at first."""
        if self.finished:
            return 0.0
        if len(self._marks) < 2 or not self.steps_per_second:
            return None
        (_, steps_before), (then, steps) = self._marks[-2], self._marks[-1]
        # The updates on the last rollout are still ahead: they take about a rollout's time.
        ahead = max(self.total_env_steps - steps, 0) + (steps - steps_before)
        return max(ahead / self.steps_per_second - (time.perf_counter() - then), 0.0)

    def summary(self) -> dict[str, Any]:
        """The score, the number of episodes in it (`score_episodes`), and the cost so far."""
        return {
            "mean_return": self.mean_return,
            "mean_length": self.mean_length,
            "score_episodes": len(self._returns),
            "episodes": self.episodes,
            "env_steps": self.env_steps,
            "phases": self.phase,
            "hyper_steps": self.hyper_steps,
            "diverged_steps": self.diverged_steps,
            "seconds": self.seconds,
            "steps_per_second": self.env_steps / self.seconds,
        }
