"""Experience: what earlier runs did and how they ended, for agents to learn from.

`agents.experience_file` is the file that keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.lines import Line, fitted
from hyperrl_env import __version__

Float32s = NDArray[np.float32]


@dataclass(frozen=True)
class PastRun:
    """One run of an experience; `agents.experience_file` has the table of columns.

    Attributes:
        run: Hash.
        inner_env: What was trained on.
        start: From which settings.
        normalize: Whether these normalise.
        decays: Whether these let the learning rate fall.
        agent: The hyper-agent.
        seed: The run's.
        budget: Environment steps.
        decision: How long an action was held.
        score: The outcome.
        area: The same over the whole run.
        evaluation: Mean return of deterministic episodes, or None.
        env_steps: At the end of every phase, phase 0 first, (phases + 1,).
        diagnostics: At the end of every phase, (phases + 1, len(DIAGNOSTICS)).
        changes: By hyperparameter: in force in every phase, (phases + 1,); none that are all NaN.
    """

    run: str
    inner_env: str
    start: str
    normalize: bool
    decays: bool
    agent: str
    seed: int
    budget: int
    decision: str
    score: float
    area: float
    evaluation: float | None
    env_steps: NDArray[np.int64]
    diagnostics: Float32s
    changes: Mapping[str, Float32s]

    @property
    def group(self) -> tuple[str, str, int]:
        """What runs share whose outcomes can be compared: inner environment, settings, budget."""
        return self.inner_env, self.start, self.budget

    @property
    def changed(self) -> list[str]:
        """The hyperparameters that had another value than the task's own at some time."""
        # A NaN is not larger than 0.
        return [name for name, changes in self.changes.items() if (np.abs(changes[1:]) > 0).any()]

    def line(self, name: str) -> Line:
        """The line nearest to what a hyperparameter did over the run."""
        progress = np.minimum(self.env_steps[:-1] / self.budget, 1.0)
        return fitted(progress, np.asarray(self.changes[name][1:], np.float64))


# Equal only to itself, so that what is learned from it can be kept with it.
@dataclass(frozen=True, eq=False)
class Experience:
    """What a file holds.

    Attributes:
        algorithm: The inner algorithm of all runs.
        runs: The runs, each once, in the order in which they were added.
        made_with: The version of Hyper-RL that wrote the file.
    """

    algorithm: str
    runs: Sequence[PastRun]
    made_with: str = __version__

    def check_algorithm(self, algorithm: str) -> None:
        """Raises ValueError unless the experience is of this inner algorithm."""
        if self.algorithm != algorithm:
            raise ValueError(
                f"The experience is of {self.algorithm}, and this environment trains {algorithm}: give "
                f"experience=, a file built from runs of {algorithm}."
            )

    def standardised(self) -> list[float | None]:
        """The outcome of every run, standardised per group: (score - mean) / standard deviation.

        None in a group of a single run, or of equal scores, which says nothing about what is better.
        """
        groups: dict[tuple[str, str, int], list[float]] = {}
        for run in self.runs:
            groups.setdefault(run.group, []).append(run.score)
        return [
            (run.score - float(np.mean(scores))) / float(np.std(scores)) if _differ(scores) else None
            for run in self.runs
            for scores in [groups[run.group]]
        ]

    def comparable(self) -> list[tuple[PastRun, float]]:
        """The runs that teach something, with their standardised outcomes.

        Raises:
            ValueError: No two runs have a task, settings and a budget in common.
        """
        outcomes = self.standardised()
        found = [(run, z) for run, z in zip(self.runs, outcomes, strict=True) if z is not None]
        if not found:
            raise ValueError(
                "The experience teaches nothing: no two of its runs, with different scores, have the task, "
                "its settings and the budget in common."
            )
        return found


def _differ(scores: Sequence[float]) -> bool:
    """Whether they differ by more than their mean is rounded."""
    return float(np.ptp(scores)) > 1e-9 * float(np.max(np.abs(scores)))


def merged(parts: Sequence[Experience]) -> Experience:
    """All runs of several experiences, in their order; a run that is there twice counts once.

    Raises:
        ValueError: They are of several algorithms.
    """
    algorithms = sorted({part.algorithm for part in parts})
    if len(algorithms) > 1:
        raise ValueError(
            f"These are runs of {' and '.join(algorithms)}, whose experience is kept apart: give the runs of "
            "one algorithm."
        )
    runs: dict[str, PastRun] = {}
    for part in parts:
        for run in part.runs:
            runs.setdefault(run.run, run)
    return Experience(algorithms[0], list(runs.values()))
