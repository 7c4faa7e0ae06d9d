"""The hyper-reward: what the updated policy collected in its environment phase (Eq. 1).

Every definition maps one environment phase to a number, so a callable of the user's own with the
same signature can be used instead. Equation numbers refer to Le et al., AAAI 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyperrl_env.numeric.discounted_sums import discounted_sums
from hyperrl_env.numeric.running import Running
from hyperrl_env.registry import Registry


@dataclass(frozen=True)
class EnvironmentPhase:
    """What one environment phase of T steps in N inner environments left behind.

    Attributes:
        rewards: Raw rewards, before any normalisation, (T, N).
        dones: Whether the inner episode ended at that step, by termination or time limit, (T, N); on
            Atari by a lost life too.
        value_targets: The learner's bootstrapped lambda-returns on the rewards that it learns
            from (normalised, if the task normalises; clipped on Atari), (T, N).
        episode_returns: Undiscounted raw returns of the inner episodes that ended in this phase; on
            Atari of whole games.
        episode_lengths: Their lengths in environment steps; on Atari in frames.
        last_episode_return: `episode_return` of the phase before; 0.0 before the first.
        gamma: The task's own discount factor, which no hyper-action changes.
        horizon: Steps that a discounted sum may look ahead within; None: to the end of the phase. The
            fewest steps that any hyper-action gives a phase, so that a longer phase is worth no more.
        earlier_returns: Of the mean return of the inner episodes that ended in each phase before, where any
            did.
    """

    rewards: NDArray[np.floating]
    dones: NDArray[np.bool_]
    value_targets: NDArray[np.floating]
    episode_returns: tuple[float, ...]
    episode_lengths: tuple[int, ...]
    last_episode_return: float
    gamma: float
    horizon: int | None = None
    earlier_returns: Running = field(default_factory=Running)


HyperReward = Callable[[EnvironmentPhase], float]


def discounted_return(phase: EnvironmentPhase) -> float:
    """G of Eq. 1: the mean, over steps and environments, of the discounted sum of raw rewards.

    The sum runs from each step to the end of its inner episode or of the phase, with the task's fixed
    gamma. A phase that is longer than `horizon` is cut into windows of that many steps, at whose ends
    the sums end too; steps that fill no window, at the beginning, do not count. So a policy's expected
    hyper-reward depends neither on the gamma, nor on the `n_steps` that a hyper-action chooses.

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
    rewards, goes_on = (windows(part, phase.horizon) for part in (phase.rewards, ~phase.dones))
    return float(discounted_sums(rewards, phase.gamma * goes_on).mean())


def windows(steps: NDArray[Any], horizon: int | None) -> NDArray[Any]:
    """Cuts a phase into windows of `horizon` steps, from its end backwards.

    Args:
        steps: (T, N).
        horizon: H; None: T. A phase shorter than that is one window.

    Returns:
        (H, T // H * N): the windows side by side.
    """
    length = min(horizon or len(steps), len(steps))
    whole = steps[len(steps) % length :]
    return whole.reshape(-1, length, steps.shape[1]).swapaxes(0, 1).reshape(length, -1)


def episode_return(phase: EnvironmentPhase) -> float:
    """Mean undiscounted return of the inner episodes that ended in the phase.

    If none did, the value of the phase before; 0.0 before any episode has ended.
    """
    return float(np.mean(phase.episode_returns)) if phase.episode_returns else phase.last_episode_return


def value_target(phase: EnvironmentPhase) -> float:
    """Mean bootstrapped lambda-return on the learner's (normalised) rewards.

    This is what the paper's released code uses. It depends on the gamma, lambda and `n_steps` in force.
    """
    return float(np.mean(phase.value_targets))


def improvement(phase: EnvironmentPhase) -> float:
    """Change of the mean inner return since the phase before, in units of its spread over the run so far.

    (R_t - R_t-1) / S_t, where R_t is the mean undiscounted return of the inner episodes that ended in the
    phase, and S_t the standard deviation of R over the phases so far, this one included. Phases in which no
    inner episode ended are left out; the value is 0 in them, in the first other phase, and while S is 0.
    After n phases it is at most sqrt(2 n) from 0, and no more early in a run than late in it.

    Example:
        >>> phase = EnvironmentPhase(
        ...     rewards=np.zeros((1, 1)),
        ...     dones=np.zeros((1, 1), bool),
        ...     value_targets=np.zeros((1, 1)),
        ...     episode_returns=(4.0, 6.0),
        ...     episode_lengths=(1, 1),
        ...     last_episode_return=1.0,
        ...     gamma=1.0,
        ...     earlier_returns=Running().add(1.0),
        ... )
        >>> improvement(phase)  # from 1 to 5, whose standard deviation is 2
        2.0
    """
    if not phase.episode_returns or not phase.earlier_returns.count:
        return 0.0
    mean = episode_return(phase)
    spread = phase.earlier_returns.add(mean).spread
    return (mean - phase.last_episode_return) / spread if spread else 0.0


def _check(hyper_reward: object) -> None:
    if not callable(hyper_reward):
        raise ValueError(f"A hyper-reward must be a function of an EnvironmentPhase, not {hyper_reward!r}.")


# The project's own: every run records them.
OWN_HYPER_REWARDS: Mapping[str, HyperReward] = {
    "discounted_return": discounted_return,
    "episode_return": episode_return,
    "value_target": value_target,
    "improvement": improvement,
}
HYPER_REWARDS: Registry[HyperReward] = Registry(
    "hyper_reward", "hyperrl.hyper_rewards", OWN_HYPER_REWARDS, _check
)


def register_hyper_reward(name: str, hyper_reward: HyperReward) -> None:
    """Gives a hyper-reward of yours a name, by which `hyper_reward=` then finds it in this process.

    It is in every `info` at the end of a phase from then on, whichever hyper-reward is used. An installed
    package offers one to all processes by the entry point `hyperrl.hyper_rewards`.

    Args:
        name: Letters, digits, "_", "." and "-".
        hyper_reward: A function of an `EnvironmentPhase`.

    Raises:
        ValueError: A name that is impossible or taken, or something that is no function.
    """
    HYPER_REWARDS.register(name, hyper_reward)


def get_hyper_reward(hyper_reward: str | HyperReward) -> HyperReward:
    """Looks up a definition by name; a callable is its own definition.

    Raises:
        ValueError: For an unknown name; the message lists those that exist.
    """
    if callable(hyper_reward):
        return hyper_reward
    try:
        return HYPER_REWARDS.find(hyper_reward)
    except ValueError as error:
        raise ValueError(f"{error} Or give a callable.") from error
