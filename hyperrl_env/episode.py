"""The counters of a learning episode, and what the end of an update phase means for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple


class PhaseEnd(NamedTuple):
    """What the last update of an update phase leads to.

    Attributes:
        terminated: Whether the learning episode ends because it, or its run, is complete.
        truncated: Whether it ends because the budget is spent.
        run_finished: Whether the run ends; if not, an environment phase follows.
        reward: "hyper_reward": that of the environment phase. "none": 0. "worst": the worst so far.
    """

    terminated: bool
    truncated: bool
    run_finished: bool
    reward: Literal["hyper_reward", "none", "worst"]


def end_of_phase(*, wholly_refused: bool, budget_spent: bool, phases_left: int | None) -> PhaseEnd:
    """What the last update of an update phase leads to.

    | wholly refused | budget spent | phases left | terminated | truncated | run finished | reward |
    |---|---|---|---|---|---|---|
    | yes | either | any | yes | no | yes | worst |
    | no | yes | 0, 1, ... | no | yes | yes | none |
    | no | yes | None | yes | no | yes | none |
    | no | no | 0 | yes | no | no | hyper_reward |
    | no | no | 1, 2, ... or None | no | no | no | hyper_reward |

    Args:
        wholly_refused: Whether every update of the phase was refused, so that none ever will succeed.
        budget_spent: Whether the budget leaves no further environment phase.
        phases_left: Update phases of the learning episode after this one; None: all of the run's.
    """
    if wholly_refused:
        return PhaseEnd(terminated=True, truncated=False, run_finished=True, reward="worst")
    if budget_spent:
        whole_run = phases_left is None
        return PhaseEnd(terminated=whole_run, truncated=not whole_run, run_finished=True, reward="none")
    return PhaseEnd(terminated=phases_left == 0, truncated=False, run_finished=False, reward="hyper_reward")


@dataclass(frozen=True)
class Episode:
    """Where an environment stands in its learning episode and run; saved as its fields.

    Attributes:
        phases_left: Update phases of the learning episode that are not finished; None: all of the run's.
        over: Whether the learning episode has ended, so that `reset` comes before the next `step`.
        run_finished: Whether the run has ended.
        worst_reward: The lowest hyper-reward of the run so far, which stands for one that is not finite.
    """

    phases_left: int | None
    over: bool
    run_finished: bool
    worst_reward: float

    @classmethod
    def of_new_run(cls, worst_reward: float = 0.0) -> Episode:
        """Before the first learning episode of a run."""
        return cls(phases_left=None, over=False, run_finished=False, worst_reward=worst_reward)

    def begin(self, phases: int | None) -> Episode:
        """A learning episode of so many update phases, in the same run."""
        return replace(self, phases_left=phases, over=False)

    def fail(self) -> Episode:
        """After an environment phase that failed: only a new run, or an earlier state, can follow."""
        return replace(self, over=True, run_finished=True)

    def end(self, *, wholly_refused: bool, budget_spent: bool) -> PhaseEnd:
        """What `end_of_phase` says of the update phase at hand."""
        return end_of_phase(
            wholly_refused=wholly_refused, budget_spent=budget_spent, phases_left=self._phases_after
        )

    def after(self, end: PhaseEnd, reward: float) -> Episode:
        """After an update phase with this end and this hyper-reward."""
        return Episode(
            phases_left=self._phases_after,
            over=end.terminated or end.truncated,
            run_finished=end.run_finished,
            worst_reward=min(self.worst_reward, reward),
        )

    def finite(self, reward: float) -> float:
        """The hyper-reward; if it is not finite, the worst of the run so far."""
        return reward if math.isfinite(reward) else self.worst_reward

    def reset_needed(self, *, failed: bool) -> str:
        """Why `step` needs a `reset` first, and what that would do.

        Args:
            failed: Whether an environment phase of the run failed.
        """
        if failed:
            return (
                "An environment phase failed: call reset() to start a new run, or restore an earlier state."
            )
        if self.run_finished:
            return (
                "The run is finished: call reset() to start a new one. The trained model is "
                "env.unwrapped.finished_learner.model."
            )
        return "The learning episode is over: call reset() to continue the run."

    @property
    def _phases_after(self) -> int | None:
        return None if self.phases_left is None else self.phases_left - 1
