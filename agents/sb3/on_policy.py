"""On-policy algorithms (PPO, A2C ...) as hyper-agents."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import obs_as_tensor

from agents.sb3.agent import Outcome, SB3Agent


class OnPolicyAgent(SB3Agent):
    """Drives PPO, A2C ... as `OnPolicyAlgorithm.learn` does, one step at a time."""

    model: OnPolicyAlgorithm

    @property
    def _buffer(self) -> RolloutBuffer:
        return self.model.rollout_buffer

    def _leave_episode(self) -> None:
        super()._leave_episode()
        self._buffer.reset()

    def _choose(self) -> Any:
        model = self.model
        with torch.no_grad():
            actions, value, log_prob = model.policy(obs_as_tensor(model._last_obs, model.device))  # type: ignore[arg-type]
        chosen = actions.cpu().numpy()
        self._choice = {"action": chosen, "value": value, "log_prob": log_prob}
        if not isinstance(model.action_space, spaces.Box):
            return chosen[0]
        if model.policy.squash_output:
            return model.policy.unscale_action(chosen)[0]
        return np.clip(chosen, model.action_space.low, model.action_space.high)[0]

    def _take_in(self, outcome: Outcome) -> bool:
        model, buffer, choice = self.model, self._buffer, self._choice
        next_obs, reward, done, infos = outcome
        if infos[0]["TimeLimit.truncated"]:
            reward[0] += model.gamma * self._value_of(next_obs)[0]
        buffer.add(
            model._last_obs,  # type: ignore[arg-type]
            choice["action"].reshape(1, -1),
            reward,
            model._last_episode_starts,  # type: ignore[arg-type]
            choice["value"],
            choice["log_prob"],
        )
        model._last_obs, model._last_episode_starts = next_obs, done
        if not buffer.full:
            return False
        buffer.compute_returns_and_advantage(self._value_of(next_obs), done)
        model.train()
        # The next rollout needs nothing from this one, so checkpoints need not store it.
        buffer.reset()
        return True

    def _value_of(self, obs: NDArray[np.float32]) -> torch.Tensor:
        with torch.no_grad():
            return self.model.policy.predict_values(obs_as_tensor(obs, self.model.device))
