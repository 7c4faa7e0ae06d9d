"""HyperController: what a Kalman filter would predict of every value, learned from what happened.

Gornet, Kantaros and Sinopoli, "HyperController: A Hyperparameter Controller for Fast and Stable Training of
Reinforcement Learning Neural Networks" (arXiv 2504.19382). The improvement X_t of the return is the output
of a linear Gaussian system that nobody knows: z_{t+1} = Gamma z_t + xi_t, X_t = <c_a, z_t> + eta_t with the
arm a in force. The steady Kalman filter, the best one-step predictor of X_t, is linear in the past outputs;
with all but the last s of them left out,

    X_t ~ G(a | a_{t-s} ... a_{t-1})^T (X_{t-s} ... X_{t-1})

Its coefficients G depend on the arms that gave those outputs, and ridge regression learns them, a G for
every sequence of s + 1 arms. Every hyperparameter has a predictor of its own; the best prediction is taken.

| step                                                   | here                        |
|--------------------------------------------------------|-----------------------------|
| V = lambda I + sum Xi Xi^T, B = sum Xi X_t, G = V^-1 B | `Predictor.learn`           |
| G^T Xi of every arm                                    | `Predictor.predictions`     |
| a = argmax                                             | `HyperControllerAgent.choose` |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from agents.per_phase import Floats, PhaseAgent, random_argmax
from hyperrl_env.checks import check_between, check_positive


class Predictor:
    """The one-step predictor of one hyperparameter.

    Args:
        n_arms: k, the number of values.
        window: s, how many outputs before it a prediction looks at.
        ridge: lambda, the weight of the ridge regression's penalty.

    Attributes:
        gram: V, (k^s, k, s, s): by the s arms before, as a number in base k, and the arm.
        moment: B, (k^s, k, s).
        arms: The last s arms, oldest first; fewer at the beginning.
        outputs: Xi, their outputs.
    """

    def __init__(self, n_arms: int, window: int, ridge: float) -> None:
        self.n_arms, self.window = n_arms, window
        self.gram = np.tile(ridge * np.eye(window), (n_arms**window, n_arms, 1, 1))
        self.moment = np.zeros((n_arms**window, n_arms, window))
        self.arms: list[int] = []
        self.outputs: list[float] = []

    @property
    def _code(self) -> int:
        return int(np.ravel_multi_index(self.arms, [self.n_arms] * self.window))

    def predictions(self) -> Floats | None:
        """G^T Xi of every arm, (k,); None before s outputs are known."""
        if len(self.arms) < self.window:
            return None
        moment = self.moment[self._code, :, :, None]
        coefficients = np.linalg.solve(self.gram[self._code], moment)[:, :, 0]
        return np.asarray(coefficients @ np.array(self.outputs))

    def learn(self, arm: int, output: float) -> None:
        """Adds an output X_t to the regression of the arms before it and its own.

        Args:
            arm: The arm that was in force.
            output: X_t.
        """
        if len(self.arms) == self.window:
            past = np.array(self.outputs)
            self.gram[self._code, arm] += np.outer(past, past)
            self.moment[self._code, arm] += past * output
        self.arms = [*self.arms, arm][-self.window :]
        self.outputs = [*self.outputs, output][-self.window :]

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        sums = {"gram": self.gram.copy(), "moment": self.moment.copy()}
        return {**sums, "arms": list(self.arms), "outputs": list(self.outputs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a `state_dict`."""
        self.gram, self.moment = np.array(state["gram"]), np.array(state["moment"])
        self.arms, self.outputs = list(state["arms"]), list(state["outputs"])


class HyperControllerAgent(PhaseAgent):
    """Takes, of every hyperparameter alone, the value that is predicted to improve the return most.

    Of values with equal predictions (those never tried are predicted 0) one is drawn. Nothing else explores,
    as in the paper's code: a value that does worse than nothing gives way to another.

    Args:
        env: See `PhaseAgent`.
        seed: Decides between values that are equally good.
        window: s in [1, 3], how many improvements before it a prediction looks at.
        ridge: lambda > 0. Improvements much smaller than its root are predicted as 0.

    Attributes:
        predictors: One per hyperparameter.

    Raises:
        ValueError: An argument out of range.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int = 0, *, window: int = 1, ridge: float = 1.0) -> None:
        super().__init__(env, seed)
        check_between("window", window, 1, 3)
        check_positive("ridge", ridge)
        self.predictors = [Predictor(n, window, ridge) for n in self.n_bins]
        self._last_return: float | None = None

    def choose(self) -> list[int]:
        """See `PhaseAgent.choose`."""
        return [self._best(predictor) for predictor in self.predictors]

    def _best(self, predictor: Predictor) -> int:
        predictions = predictor.predictions()
        return random_argmax(np.zeros(predictor.n_arms) if predictions is None else predictions, self.rng)

    def learn(self, hyper_return: float) -> None:
        """See `PhaseAgent.learn`. X_t is the improvement over the return before; the first is 0."""
        before = hyper_return if self._last_return is None else self._last_return
        for predictor, arm in zip(self.predictors, self.held, strict=True):
            predictor.learn(arm, hyper_return - before)
        self._last_return = hyper_return

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        predictors = [predictor.state_dict() for predictor in self.predictors]
        return {**super().state_dict(), "predictors": predictors, "last_return": self._last_return}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        for predictor, saved in zip(self.predictors, state["predictors"], strict=True):
            predictor.load_state_dict(saved)
        self._last_return = state["last_return"]
