"""A memory that is carried from run to run: Eq. 4 fed with the runs of an experience.

The learning episode is the whole run, and a step of it an update phase. The key is the diagnostics before the
phase, the action what was in force in it, and the hyper-return, of every step of a run alike, the run's
outcome, standardised among the runs with the same task, settings and budget. So tuples of different tasks
can stand in one memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agents.episodic.memory import EpisodicMemory
from agents.experience import Experience, PastRun
from hyperrl_env import DIAGNOSTICS
from hyperrl_env.diagnostics import CHANGES, LIMIT
from hyperrl_env.search_space import BoundSearchSpace

# Whole numbers are rounded, on each task from another value of its own.
_OUTSIDE = 0.05
# Numbers of four digits.
_SAME = 1e-3
Floats = NDArray[np.float64]
_INDEX = {name: index for index, name in enumerate(DIAGNOSTICS)}


class Bins(NamedTuple):
    """A hyperparameter's bins on a scale that all tasks share, that of `CHANGES`.

    Attributes:
        changes: Of every bin, against the task's own value at the start of a run.
        relative: Whether a bin is a multiple of the task's own value, which a schedule may move.
    """

    changes: Sequence[float]
    relative: bool


def bin_changes(space: BoundSearchSpace, own: Mapping[str, float]) -> dict[str, Bins]:
    """The bins of a search space on a scale that all tasks share.

    Args:
        space: The hyperparameters and their bins.
        own: The task's own value of each at the start of a run.

    Raises:
        ValueError: A hyperparameter whose values have no such scale.
    """
    if foreign := [name for name in space.names if name not in CHANGES]:
        raise ValueError(
            f"A memory of {', '.join(foreign)} cannot be carried from task to task. It can be of "
            f"{', '.join(CHANGES)}."
        )
    return {
        h.name: Bins(
            [
                CHANGES[h.name](bin_ * own[h.name] if h.relative else bin_, own[h.name])
                for bin_ in space.bins[h.name]
            ],
            h.relative,
        )
        for h in space.hyperparameters
    }


def joint_actions(run: PastRun, bins: Mapping[str, Bins]) -> NDArray[np.int64]:
    """The joint choice of the nearest bins in every update phase of a run.

    Args:
        run: The run.
        bins: The result of `bin_changes`.

    Returns:
        (phases,); -1 where a value was 0, because the task's own was, so that a choice had no effect.

    Raises:
        ValueError: The run changed another hyperparameter, left the bins' range, or did not hold its actions
            for whole phases.
    """
    if foreign := [name for name in run.changed if name not in bins]:
        raise ValueError(
            f"The experience is of another search space: a run of {run.agent} on {run.inner_env} changed "
            f"{', '.join(foreign)}, and this one offers {', '.join(bins)}."
        )
    # `fixed` never takes another action, so it holds its own for phases too.
    if run.changed and run.decision != "phase" and run.agent != "fixed":
        raise ValueError(
            f"The experience has a run of {run.agent} on {run.inner_env} that chose anew within update "
            f"phases (decision={run.decision!r}): a carried memory needs runs with decision='phase'."
        )
    chosen, known = [], np.ones(len(run.env_steps) - 1, bool)
    for name, (offered, relative) in bins.items():
        changes = _changes(run, name, relative)
        defined = np.isfinite(changes)
        known &= defined
        changes = np.where(defined, changes, 0.0)
        if changes.min() < min(offered) - _OUTSIDE or changes.max() > max(offered) + _OUTSIDE:
            raise ValueError(
                f"The experience is of another search space: a run of {run.agent} on {run.inner_env} had "
                f"{name} outside the range offered here. Offer as wide a range, or build the experience "
                "without that run."
            )
        chosen.append(np.abs(changes[:, None] - np.asarray(offered)).argmin(axis=1))
    joint = np.ravel_multi_index(chosen, [len(offered) for offered, _ in bins.values()])
    return np.where(known, joint, -1)


def _changes(run: PastRun, name: str, relative: bool) -> Floats:
    """What was in force in every update phase, (phases,); NaN where nothing was, or 0.

    A run's changes are against the task's own value at that time, its diagnostics against that at the start.
    The task's own value follows its schedule, though it is offered among constant ones.
    """
    if name not in run.changes:
        return np.full(len(run.env_steps) - 1, np.nan)
    changes = run.changes[name][1:].astype(np.float64)
    if relative:
        return changes
    constant = run.diagnostics[1:, _INDEX[f"log_{name}"]].astype(np.float64)
    constant[constant <= -LIMIT] = np.nan
    return np.where(np.abs(changes) < _SAME, 0.0, constant)


def remember(
    memory: EpisodicMemory, experience: Experience, bins: Mapping[str, Bins], write_interval: int
) -> None:
    """Writes the runs of an experience to a memory (Eq. 4), one after the other.

    Args:
        memory: With the diagnostics as keys, and the joint choices of the bins as actions.
        experience: The runs.
        bins: The result of `bin_changes`.
        write_interval: Of a run the first phase, every `write_interval`-th after it and the last are written.

    Raises:
        ValueError: See `joint_actions` and `Experience.comparable`.
    """
    for run, outcome in experience.comparable():
        actions = joint_actions(run, bins)
        for phase, action in enumerate(actions):
            written = phase % write_interval == 0 or phase == len(actions) - 1
            if written and action >= 0:
                memory.write(run.diagnostics[phase], int(action), outcome)
