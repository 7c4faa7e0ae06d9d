"""Off-policy algorithms (DQN, SAC, TD3, DDPG ...) as hyper-agents."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq
from stable_baselines3.common.utils import should_collect_more_steps

from agents.sb3.agent import Outcome, SB3Agent


class OffPolicyAgent(SB3Agent):
    """Drives DQN, SAC, TD3 ... as `OffPolicyAlgorithm.learn` does, one step at a time."""

    model: OffPolicyAlgorithm

    @property
    def _buffer(self) -> ReplayBuffer:
        assert self.model.replay_buffer is not None
        return self.model.replay_buffer

    def _leave_episode(self) -> None:
        super()._leave_episode()
        # Nothing follows the last transition: no n-step return may reach into the new run.
        buffer = self._buffer
        if buffer.optimize_memory_usage:
            # The new run's first observation overwrites its next one, which must not be read.
            buffer.dones[buffer.pos - 1] = True
        else:
            buffer.timeouts[buffer.pos - 1] = True

    def _choose(self) -> Any:
        action, buffer_action = self.model._sample_action(self.model.learning_starts, self.model.action_noise)
        self._choice = {"action": buffer_action}
        return action[0]

    def _take_in(self, outcome: Outcome) -> bool:
        model = self.model
        next_obs, reward, done, infos = outcome
        model._store_transition(self._buffer, self._choice["action"], next_obs, reward, done, infos)
        model._on_step()
        if done[0]:
            model._episode_num += 1
            if model.action_noise is not None:
                model.action_noise.reset()
        assert isinstance(model.train_freq, TrainFreq)
        if should_collect_more_steps(model.train_freq, self._steps, self._episodes):
            return False
        if model.num_timesteps > model.learning_starts:
            gradient_steps = model.gradient_steps if model.gradient_steps >= 0 else self._steps
            if gradient_steps > 0:
                model.train(batch_size=model.batch_size, gradient_steps=gradient_steps)
        return True
