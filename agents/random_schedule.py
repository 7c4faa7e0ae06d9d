"""Random schedules, one per run: experience of what whole schedules are worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from agents.lines import HYPERPARAMETERS, RANGES, Floats, LineAgent, check_names, drawn, env_kwargs
from hyperrl_env.learners import learner_class


class RandomScheduleAgent(LineAgent):
    """Draws a level and a slope per hyperparameter before a run, and plays them, whatever happens.

    What is random from decision to decision averages out over a run, so nothing can be learned from it
    about whole schedules; from these runs it can.

    Args:
        env: See `LineAgent`.
        seed: See `LineAgent`.
        hyperparameters: Their names; by default those of PPO.

    Raises:
        ValueError: A hyperparameter that no line can be drawn in, or another search space.
    """

    name = "random_schedule"

    def __init__(
        self, env: gym.Env[Any, Any], seed: int = 0, *, hyperparameters: Sequence[str] = HYPERPARAMETERS
    ) -> None:
        super().__init__(env, seed, check_names(hyperparameters))

    @classmethod
    def env_kwargs(cls, *, hyperparameters: Sequence[str] = HYPERPARAMETERS, **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: the ranges of the lines, and decisions per phase."""
        return env_kwargs(check_names(hyperparameters))

    @classmethod
    def check_algorithm(
        cls, algorithm: str, /, *, hyperparameters: Sequence[str] = HYPERPARAMETERS, **kwargs: Any
    ) -> None:
        """See `HyperAgent.check_algorithm`: one that offers all of them."""
        offered = learner_class(algorithm).offered
        if missing := [name for name in check_names(hyperparameters) if name not in offered]:
            possible = [name for name in RANGES if name in offered]
            raise ValueError(
                f"Agent 'random_schedule' draws schedules of {', '.join(hyperparameters)}, and {algorithm} "
                f"lacks {', '.join(missing)}. Give hyperparameters={json.dumps(possible)}, or some of these."
            )

    def choose(self) -> Floats:
        """See `LineAgent.choose`."""
        lines: Floats = drawn(self.names, 1, self.rng)[0]
        return lines
