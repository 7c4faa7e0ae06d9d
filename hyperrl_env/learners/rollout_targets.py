"""What the updates on a rollout aim at: advantages and returns, for whichever discounts are chosen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer

Arrays = NDArray[np.floating]


class Discounts(NamedTuple):
    """Gamma and lambda of generalised advantage estimation."""

    gamma: float
    gae_lambda: float


class Targets(NamedTuple):
    """Advantages and lambda-returns of a rollout, (T, N) each."""

    advantages: Arrays
    returns: Arrays


@dataclass(frozen=True)
class CollectedRollout:
    """What the targets of a rollout of T steps in N environments are computed from.

    Attributes:
        rewards: Those that the learner learns from (normalised, clipped on Atari), (T, N).
        dones: Whether the inner episode ended at that step, (T, N).
        values: V of the observation at each step, (T, N).
        time_limit_values: V of the last observation of an episode that a time limit cut at that step,
            0 elsewhere, (T, N). Its discounted value counts as reward, as in Stable-Baselines3.
        last_values: V of the observation after the last step, (N,).
    """

    rewards: Arrays
    dones: NDArray[np.bool_]
    values: Arrays
    time_limit_values: Arrays
    last_values: Arrays

    def bootstrapped_rewards(self, gamma: float) -> Arrays:
        """The rewards with what is to be expected beyond time limits, (T, N)."""
        return self.rewards + np.float32(gamma) * self.time_limit_values


def sb3_targets(buffer: RolloutBuffer, rollout: CollectedRollout, discounts: Discounts) -> Targets:
    """The targets as the buffer's own class computes them, to the bit; the buffer stays as it is."""
    other = copy.copy(buffer)
    other.gamma, other.gae_lambda = discounts
    other.buffer_size = len(rollout.rewards)
    other.rewards = rollout.bootstrapped_rewards(discounts.gamma).astype(np.float32)
    other.values = rollout.values
    # The first row is of no account.
    other.episode_starts = np.roll(rollout.dones, 1, axis=0).astype(np.float32)
    other.advantages = np.zeros_like(rollout.values)
    other.compute_returns_and_advantage(torch.as_tensor(rollout.last_values), rollout.dones[-1])
    return Targets(other.advantages, other.returns)


class RolloutTargets:
    """The targets of the rollout at hand, by the discounts of whichever update asks.

    Each pair of discounts takes one pass over the rollout; the environment phase has done the first.

    Args:
        rollout: What was collected.
        discounts: Those that the environment phase computed its targets with.
        targets: These targets.

    Attributes:
        in_force: The discounts of the targets that the rollout buffer holds.
    """

    def __init__(self, rollout: CollectedRollout, discounts: Discounts, targets: Targets) -> None:
        self._rollout = rollout
        self._collected_with = self.in_force = discounts
        self._targets = {discounts: targets}

    @property
    def rollout(self) -> CollectedRollout:
        """What the targets are computed from."""
        return self._rollout

    def take(
        self, discounts: Discounts, estimate: Callable[[CollectedRollout, Discounts], Targets]
    ) -> Targets:
        """The targets with these discounts, which are then in force.

        Args:
            discounts: Gamma and lambda.
            estimate: Computes targets that have not been asked for before.
        """
        if discounts not in self._targets:
            self._targets[discounts] = estimate(self._rollout, discounts)
        self.in_force = discounts
        return self._targets[discounts]

    def state_dict(self) -> dict[str, Any]:
        """What was collected, and the targets that the environment phase computed."""
        return {
            "rollout": vars(self._rollout),
            "collected_with": self._collected_with._asdict(),
            "in_force": self.in_force._asdict(),
            "targets": self._targets[self._collected_with]._asdict(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RolloutTargets:
        """What `state_dict` was taken of."""
        found = cls(
            CollectedRollout(**state["rollout"]),
            Discounts(**state["collected_with"]),
            Targets(**state["targets"]),
        )
        found.in_force = Discounts(**state["in_force"])
        return found
