"""What methods share that decide once per update phase, from the returns that the phases led to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import HyperAgent, Observation

Floats = NDArray[np.float64]


def random_argmax(values: Floats, rng: np.random.Generator) -> int:
    """The index of the largest of `values`, (n,); of several, one at random.

    Example:
        >>> random_argmax(np.array([1.0, 3.0, 2.0]), np.random.default_rng(0))
        1
    """
    best = np.flatnonzero(values == values.max())
    return int(best[rng.integers(len(best))])


class PhaseAgent(HyperAgent):
    """Chooses a bin of every hyperparameter for a whole update phase, and learns what came of it.

    The choice is held through the phase, whatever `decision` is and however many phases a learning
    episode has. It is credited with the hyper-reward of the environment phase that follows it: the return
    of the policy that it made. The last phase of a run has none, and teaches nothing.

    Args:
        env: A Hyper-RL environment of any action mode; in "box", actions are the bins' own points.
        seed: See `HyperAgent`.

    Attributes:
        n_bins: The number of bins of every hyperparameter, (hyperparameters,).
        held: The indices of the bins in force, (hyperparameters,); at first those of the task's own values.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int = 0) -> None:
        super().__init__(env, seed)
        self.n_bins = tuple(len(bins) for bins in self.search_space.bins.values())
        own = self.search_space.joint_index(self.search_space.default_action)
        self.held = [int(index) for index in np.unravel_index(own, self.n_bins)]

    @classmethod
    def env_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: one hyper-step per update phase."""
        return {"decision": "phase"}

    @abstractmethod
    def choose(self) -> list[int]:
        """Chooses for the next update phase: the index of a bin of every hyperparameter."""

    @abstractmethod
    def learn(self, hyper_return: float) -> None:
        """Learns what the bins that are `held` led to.

        Args:
            hyper_return: The hyper-reward of the environment phase after them.
        """

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        if info["update_step"] == 0:
            self.held = self.choose()
        return self.search_space.joint_action(np.ravel_multi_index(self.held, self.n_bins))

    def observe(
        self,
        obs: Observation,
        action: Any,
        reward: float,
        next_obs: Observation,
        terminated: bool,
        truncated: bool,
        info: Mapping[str, Any],
    ) -> None:
        """See `HyperAgent.observe`."""
        if "phase_stats" in info and not info["run_finished"]:
            self.learn(reward)

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        return {**super().state_dict(), "held": list(self.held)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self.held = list(state["held"])
