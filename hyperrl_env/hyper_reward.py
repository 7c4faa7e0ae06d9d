"""The hyper-reward: what the updated policy collected in its environment phase (Eq. 1).

Every definition maps one environment phase to a number, so a callable of the user's own with the
same signature can stand beside them. Equation numbers refer to Le et al., AAAI 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hyperrl_env.scan import discounted_sums


@dataclass(frozen=True)
class EnvironmentPhase:
    """What one environment phase of T steps in N inner environments left behind.

    Attributes:
        rewards: Raw rewards, before any normalisation, (T, N).
        dones: Whether the inner episode ended at that step, by termination or time limit, (T, N); on
            Atari by a lost life too.
        value_targets: The learner's bootstrapped lambda-returns on the rewards that it learns
            from (normalised, where the task normalises; clipped on Atari), (T, N).
        episode_returns: Undiscounted raw returns of the inner episodes that ended in this phase; on
            Atari of whole games.
        episode_lengths: Their lengths in environment steps; on Atari in frames.
        last_episode_return: `episode_return` of the phase before; 0.0 before the first.
        gamma: The task's own discount factor, which no hyper-action changes.
    """

    rewards: NDArray[np.floating]
    dones: NDArray[np.bool_]
    value_targets: NDArray[np.floating]
    episode_returns: tuple[float, ...]
    episode_lengths: tuple[int, ...]
    last_episode_return: float
    gamma: float


HyperReward = Callable[[EnvironmentPhase], float]


def discounted_return(phase: EnvironmentPhase) -> float:
    """G of Eq. 1: the mean, over steps and environments, of the discounted sum of raw rewards.

    The sum runs from each step to the end of its inner episode or of the phase, with the task's
    fixed gamma, so that a hyper-agent cannot raise its reward by choosing another gamma or lambda.

    Example:
        >>> phase = EnvironmentPhase(
        ...     rewards=np.array([[1.0], [2.0], [4.0]]),
        ...     dones=np.array([[False], [True], [False]]),  # an inner episode ends with the second
        ...     value_targets=np.zeros((3, 1)),
        ...     episode_returns=(3.0,),
        ...     episode_lengths=(2,),
        ...     last_episode_return=0.0,
        ...     gamma=0.5,
        ... )
        >>> discounted_return(phase)  # the mean of 1 + 2 / 2, 2 and 4
        2.6666666666666665
    """
    return float(discounted_sums(phase.rewards, phase.gamma * ~phase.dones).mean())


def episode_return(phase: EnvironmentPhase) -> float:
    """Mean undiscounted return of the inner episodes that ended in the phase.

    Where none did, the value of the phase before; 0.0 before any episode has ended.
    """
    return float(np.mean(phase.episode_returns)) if phase.episode_returns else phase.last_episode_return


def value_target(phase: EnvironmentPhase) -> float:
    """Mean bootstrapped lambda-return on the learner's (normalised) rewards.

    This is what the paper's released code uses. It depends on the gamma and lambda in force.
    """
    return float(np.mean(phase.value_targets))


HYPER_REWARDS: Mapping[str, HyperReward] = {
    "discounted_return": discounted_return,
    "episode_return": episode_return,
    "value_target": value_target,
}


def get_hyper_reward(hyper_reward: str | HyperReward) -> HyperReward:
    """Looks a definition up by name; a callable is its own definition.

    Raises:
        ValueError: For an unknown name; the message lists those that exist.
    """
    if callable(hyper_reward):
        return hyper_reward
    if not isinstance(hyper_reward, str) or hyper_reward not in HYPER_REWARDS:
        raise ValueError(
            f"Unknown hyper_reward {hyper_reward!r}: give a callable or one of {list(HYPER_REWARDS)}."
        )
    return HYPER_REWARDS[hyper_reward]
