"""Lookahead: tries hyper-actions on copies of the run, and goes on with the one that earned most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from agents.base import HyperAgent, Observation
from hyperrl_env import CheckpointError
from hyperrl_env.checks import check_at_least


class LookaheadAgent(HyperAgent):
    """Takes the hyper-action that has just proved best, every few update phases.

    It branches the run by `env.snapshot()`: every candidate acts alone for `phases` update phases, the run
    is restored to the bit, and the candidate with the largest sum of hyper-rewards acts for as many phases
    in earnest. Of equal ones the default goes first. A branch draws the random numbers that the run will
    draw, so what comes of the choice is what was seen.

    No method that sees one run can choose like this. It shows how much there is to gain from perfect
    choices, at a cost in environment steps that `extra_env_steps` counts.

    Args:
        env: See `HyperAgent`. The state of its inner environments must be restorable (MuJoCo, classic
            control, Atari without sticky actions); otherwise the first trial raises a `CheckpointError`.
        seed: See `HyperAgent`; draws the candidates.
        candidates: How many hyper-actions are tried, the default among them; the others are drawn anew at
            each decision. None: all. With `action_mode="box"` they are the bins.
        phases: Update phases that a trial takes.

    Raises:
        ValueError: Less than one candidate or phase.
    """

    def __init__(
        self, env: gym.Env[Any, Any], seed: int = 0, *, candidates: int | None = 8, phases: int = 1
    ) -> None:
        super().__init__(env, seed)
        if candidates is not None:
            check_at_least("candidates", candidates, 1)
        check_at_least("phases", phases, 1)
        n_actions = self.search_space.n_actions
        self._n_candidates = n_actions if candidates is None else min(candidates, n_actions)
        self._phases = phases
        self._action: Any = None
        # Phases that the present action still acts for.
        self._phases_left = 0

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`."""
        if self._phases_left == 0 or (info["phase"] == 0 and info["update_step"] == 0):
            self._action, self._phases_left = self._best(info["env_steps"]), self._phases
        return self._action

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
        if "phase_stats" in info:
            self._phases_left -= 1

    def _best(self, env_steps: int) -> Any:
        """The candidate that earns most in a trial; the run is afterwards as it was."""
        default = self.env.default_action
        others = np.delete(np.arange(self.search_space.n_actions), self.search_space.joint_index(default))
        drawn = self.rng.choice(others, self._n_candidates - 1, replace=False)
        candidates = [default, *(self.search_space.joint_action(int(index)) for index in np.sort(drawn))]
        if len(candidates) == 1:
            return default
        snapshot = self.env.snapshot()
        earned = []
        for candidate in candidates:
            reward, reached = self._trial(candidate)
            earned.append(reward)
            self.extra_env_steps += reached - env_steps
            _, info = self.env.restore(snapshot)
            if info.get("inner_episodes_restarted"):
                raise CheckpointError(
                    "Agent 'lookahead' needs inner environments whose state can be restored (MuJoCo, classic "
                    "control, Atari without sticky actions): in these, every trial would cut the episodes of "
                    "the run short."
                )
        return candidates[int(np.argmax(earned))]

    def _trial(self, action: Any) -> tuple[float, int]:
        """Repeats an action for some phases; the hyper-rewards, summed, and the environment steps then."""
        total, phases = 0.0, 0
        while True:
            _, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            phases += "phase_stats" in info
            if phases == self._phases or info["run_finished"]:
                return total, info["env_steps"]
            if terminated or truncated:
                self.env.reset()

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        return {
            **super().state_dict(),
            "action": self._action,
            "phases_left": self._phases_left,
            "extra_env_steps": self.extra_env_steps,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self._action, self._phases_left = state["action"], state["phases_left"]
        self.extra_env_steps = state["extra_env_steps"]
