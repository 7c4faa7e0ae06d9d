"""ULTHO: a bandit over hyperparameters, and under each a bandit over its values.

Yuan et al., "ULTHO: Ultra-Lightweight yet Efficient Hyperparameter Optimization in Deep Reinforcement
Learning", ICCV 2025 (arXiv 2503.06101). A hyperparameter is a *cluster* of arms, which are its values.

| paper                                            | here                                  |
|--------------------------------------------------|---------------------------------------|
| Q + c sqrt(ln t / N), of clusters and of arms    | `upper_confidence_bounds`             |
| Q, the mean of the last W returns                | `WindowedBandit.means`                |
| the cluster, then an arm in it                   | `UlthoAgent.choose`                   |
| the return updates the cluster and the arm       | `UlthoAgent.learn`                    |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.per_phase import Floats, PhaseAgent, random_argmax
from hyperrl_env.checks import check_at_least, check_positive


def upper_confidence_bounds(means: Floats, counts: NDArray[np.int64], t: int, c: float) -> Floats:
    """Q + c sqrt(ln t / N).

    Args:
        means: Q of every arm, (arms,).
        counts: N, how often each was taken, at least 1, (arms,).
        t: Which decision this is, from 1.
        c: Weight of the exploration.

    Example:
        >>> upper_confidence_bounds(np.array([1.0, 0.0]), np.array([1, 4]), t=1, c=5.0).tolist()
        [1.0, 0.0]
    """
    return np.asarray(means + c * np.sqrt(np.log(t) / counts))


class WindowedBandit:
    """Upper confidence bounds on the mean of the last returns of every arm.

    Args:
        n_arms: The number of arms.
        c: Weight of the exploration.
        window: W, how many of an arm's last returns its mean is of.

    Attributes:
        t: Which decision comes next, from 1.
        counts: N, 1 at first, (n_arms,).
        returns: The last returns of every arm, oldest first.
    """

    def __init__(self, n_arms: int, c: float, window: int) -> None:
        self._c, self._window = c, window
        self.t = 1
        self.counts = np.ones(n_arms, np.int64)
        self.returns: list[list[float]] = [[] for _ in range(n_arms)]

    @property
    def means(self) -> Floats:
        """Q, (n_arms,): 0 of an arm that was never taken."""
        return np.array([np.mean(returns) if returns else 0.0 for returns in self.returns])

    def choose(self, rng: np.random.Generator) -> int:
        """The arm with the highest bound; of several, one at random."""
        return random_argmax(upper_confidence_bounds(self.means, self.counts, self.t, self._c), rng)

    def learn(self, arm: int, value: float) -> None:
        """Notes the return of an arm."""
        self.t += 1
        self.counts[arm] += 1
        self.returns[arm] = [*self.returns[arm], value][-self._window :]

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        return {"t": self.t, "counts": self.counts.copy(), "returns": [list(r) for r in self.returns]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a `state_dict`."""
        self.t, self.counts = state["t"], np.array(state["counts"])
        self.returns = [list(returns) for returns in state["returns"]]


class UlthoAgent(PhaseAgent):
    """Changes one hyperparameter per update phase, the one with the highest upper confidence bound.

    All others keep the value that they were given last, at first the task's own. A return is credited to
    the choice that led to it; the paper's code credits it to the next one.

    Args:
        env: See `PhaseAgent`. c is meant for returns on normalised rewards, which the hyper-reward
            "value_target" is.
        seed: Decides between arms that are equally good.
        c: Weight of the exploration.
        window: W, how many of the last returns of a choice its value is the mean of.

    Raises:
        ValueError: An argument out of range.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int = 0, *, c: float = 5.0, window: int = 10) -> None:
        super().__init__(env, seed)
        check_positive("c", c)
        check_at_least("window", window, 1)
        self.clusters = WindowedBandit(len(self.n_bins), c, window)
        self.arms = [WindowedBandit(n, c, window) for n in self.n_bins]
        self._cluster = -1

    @classmethod
    def env_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: a hyper-step per update phase, and returns on normalised rewards."""
        return {**super().env_kwargs(**kwargs), "hyper_reward": "value_target"}

    def choose(self) -> list[int]:
        """See `PhaseAgent.choose`."""
        self._cluster = self.clusters.choose(self.rng)
        chosen = list(self.held)
        chosen[self._cluster] = self.arms[self._cluster].choose(self.rng)
        return chosen

    def learn(self, hyper_return: float) -> None:
        """See `PhaseAgent.learn`."""
        if self._cluster >= 0:
            self.clusters.learn(self._cluster, hyper_return)
            self.arms[self._cluster].learn(self.held[self._cluster], hyper_return)

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        return {
            **super().state_dict(),
            "clusters": self.clusters.state_dict(),
            "arms": [arms.state_dict() for arms in self.arms],
            "cluster": self._cluster,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self.clusters.load_state_dict(state["clusters"])
        for arms, saved in zip(self.arms, state["arms"], strict=True):
            arms.load_state_dict(saved)
        self._cluster = state["cluster"]
