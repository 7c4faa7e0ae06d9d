"""LRRL: an adversarial bandit over learning rates.

Donâncio et al., "Dynamic Learning Rate for Deep Reinforcement Learning: A Bandit Approach" (arXiv
2410.12598). The arms are learning rates; Exp3 (Auer et al., 2002), whose weights decay with time so that old
returns are forgotten, draws one; its feedback is by how much the policy's return has improved.

| step                                            | here                   |
|-------------------------------------------------|------------------------|
| p(k) = exp(w(k)) / sum_j exp(w(j))              | `probabilities`        |
| f = the return against the window before it     | `improvement`          |
| f in [-1, 1], whatever the task's returns       | `scaled`               |
| w <- delta w, and of the arm taken + alpha f / p | `updated_weights`      |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from agents.per_phase import Floats, PhaseAgent
from agents.values import check_handled
from hyperrl_env.checks import check_at_least, check_fraction, check_positive


def probabilities(weights: Floats) -> Floats:
    """p(k) = exp(w(k)) / sum_j exp(w(j)), (arms,) from (arms,).

    Example:
        >>> probabilities(np.log([1.0, 3.0])).round(6).tolist()
        [0.25, 0.75]
    """
    shares = np.exp(weights - weights.max())
    return np.asarray(shares / shares.sum())


def improvement(value: float, past: Sequence[float]) -> float:
    """f, the mean of R_n - R_i over the returns R_i before R_n that are remembered; 0 without any.

    Example:
        >>> improvement(5.0, [1.0, 3.0])
        3.0
    """
    return value - float(np.mean(past)) if past else 0.0


def scaled(feedback: float, past: Sequence[float]) -> float:
    """The feedback f as a share of the largest of it and those before it, so that it lies in [-1, 1].

    Example:
        >>> scaled(-2.0, [1.0, 4.0])
        -0.5
    """
    largest = max(abs(f) for f in (feedback, *past))
    return feedback / largest if largest > 0 else 0.0


def updated_weights(weights: Floats, arm: int, feedback: float, rate: float, decay: float) -> Floats:
    """w(k) <- delta w(k), and of the arm that was taken, + alpha f / p(k).

    The division by p makes the estimate unbiased: an arm that is rarely drawn learns as much.

    Args:
        weights: w, (arms,).
        arm: The arm that was taken.
        feedback: f.
        rate: alpha.
        decay: delta.

    Example:
        >>> updated_weights(np.zeros(2), arm=0, feedback=0.5, rate=0.2, decay=0.9).tolist()
        [0.2, 0.0]
    """
    updated = decay * weights
    updated[arm] += rate * feedback / probabilities(weights)[arm]
    return updated


class LrrlAgent(PhaseAgent):
    """Draws a learning rate per update phase, more often one after which returns have improved.

    Args:
        env: See `PhaseAgent`; its search space holds the learning rate alone.
        seed: Seeds the draws.
        rate: alpha, the step size of the weights.
        decay: delta in [0, 1], what is left of the weights after a phase; 1 forgets nothing.
        window: How many returns, and improvements, the present ones are compared with.

    Attributes:
        weights: w, (arms,).

    Raises:
        ValueError: An argument out of range, or a search space of other hyperparameters.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        seed: int = 0,
        *,
        rate: float = 0.5,
        decay: float = 0.95,
        window: int = 10,
    ) -> None:
        super().__init__(env, seed)
        check_handled("lrrl", self.env, ["learning_rate"])
        check_positive("rate", rate)
        check_fraction("decay", decay)
        check_at_least("window", window, 1)
        self._rate, self._decay, self._window = rate, decay, window
        self.weights = np.zeros(self.n_bins[0])
        self._returns: list[float] = []
        self._improvements: list[float] = []

    @classmethod
    def env_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: five learning rates, a factor of 2 apart, around the task's own."""
        rates = {"multipliers": [0.25, 0.5, 1.0, 2.0, 4.0]}
        return {**super().env_kwargs(**kwargs), "search_space": {"learning_rate": rates}}

    def choose(self) -> list[int]:
        """See `PhaseAgent.choose`."""
        return [int(self.rng.choice(len(self.weights), p=probabilities(self.weights)))]

    def learn(self, hyper_return: float) -> None:
        """See `PhaseAgent.learn`."""
        found = improvement(hyper_return, self._returns)
        feedback = scaled(found, self._improvements)
        self.weights = updated_weights(self.weights, self.held[0], feedback, self._rate, self._decay)
        self._returns = [*self._returns, hyper_return][-self._window :]
        self._improvements = [*self._improvements, found][-self._window :]

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        return {
            **super().state_dict(),
            "weights": self.weights.copy(),
            "returns": list(self._returns),
            "improvements": list(self._improvements),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self.weights = np.array(state["weights"])
        self._returns, self._improvements = list(state["returns"]), list(state["improvements"])
