"""The learning rate by the KL divergence of the policy's last change: no learning, one line of feedback.

What practitioners of legged robots use with PPO: `schedule="adaptive"` of rsl_rl, `lr_schedule: adaptive` of
rl_games. It is the control that every learned method has to beat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from agents.base import HyperAgent, Observation
from agents.values import action_of, check_continuous, check_handled, own_values
from hyperrl_env.checks import check_positive

FACTOR = 1.5


def adapted_rate(rate: float, kl: float | None, target: float, lowest: float, highest: float) -> float:
    """The learning rate / 1.5 if the KL is above twice the target, x 1.5 if it is below half of it.

    Args:
        rate: The learning rate so far.
        kl: KL divergence of the policy from that before; None or 0, which measures nothing, keeps the rate.
        target: What the KL should be.
        lowest: Least learning rate.
        highest: Largest learning rate.

    Example:
        >>> adapted_rate(3e-4, kl=0.002, target=0.01, lowest=1e-5, highest=1e-2)
        0.00045
    """
    if kl is not None and kl > 2.0 * target:
        return max(lowest, rate / FACTOR)
    if kl is not None and 0.0 < kl < target / 2.0:
        return min(highest, rate * FACTOR)
    return rate


class AdaptiveKLAgent(HyperAgent):
    """Keeps the KL divergence of PPO's updates near a target by the learning rate alone.

    It starts from the task's own rate, which it does not decay, and stays within the range that the search
    space offers. With `decision="phase"` it looks at the mean KL of the update phase; with "epoch" or
    "update" at that of the updates since its last decision, and, as a phase begins, of the whole phase
    before.

    Args:
        env: A Hyper-RL environment of PPO with `action_mode="box"`, whose search space holds a range of
            learning rates alone.
        seed: See `HyperAgent`; nothing is drawn.
        target: The KL that is aimed at: 0.01 in rsl_rl, 0.008 in rl_games.

    Attributes:
        rate: The learning rate of the next updates; None before the first.

    Raises:
        ValueError: `target` is not positive, the algorithm has no KL, or the search space is another.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int = 0, *, target: float = 0.01) -> None:
        super().__init__(env, seed)
        algorithm = self.env.inner_run_config.algorithm
        if algorithm != "PPO":
            raise ValueError(
                f"Agent 'adaptive_kl' follows the KL divergence of PPO's updates, and {algorithm} measures "
                "none. Give a HyperRL-PPO-* environment."
            )
        check_handled("adaptive_kl", self.env, ["learning_rate"])
        check_continuous("adaptive_kl", self.env)
        if self.search_space.hyperparameters[0].relative:
            raise ValueError(
                "Agent 'adaptive_kl' needs a range of learning rates, not multiples of the task's own, as "
                'search_space={"learning_rate": {"low": 1e-5, "high": 1e-2}}.'
            )
        check_positive("target", target)
        self._target = target
        self.rate: float | None = None
        self._updates_before = 0

    @classmethod
    def env_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: the range of learning rates of rsl_rl, and decisions per phase."""
        return {
            "decision": "phase",
            "action_mode": "box",
            "search_space": {"learning_rate": {"low": 1e-5, "high": 1e-2}},
        }

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        if self.rate is None or (info["phase"] == 0 and info["update_step"] == 0):
            self.rate = own_values(self.env)["learning_rate"]
        self._updates_before = len(self._divergences())
        return action_of(self.env, {"learning_rate": self.rate})

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
        assert self.rate is not None
        if "phase_stats" in info:
            kl = info["phase_stats"].get("approx_kl")
        else:
            found = self._divergences()[self._updates_before :]
            kl = float(np.mean(found)) if found else None
        lowest, *_, highest = self.search_space.bins["learning_rate"]
        self.rate = adapted_rate(self.rate, kl, self._target, lowest, highest)

    def _divergences(self) -> list[float]:
        """The KL of every update on the rollout at hand."""
        return self.env.learner.update_phase.statistics.get("approx_kl", [])

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        return {**super().state_dict(), "rate": self.rate}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self.rate = state["rate"]
