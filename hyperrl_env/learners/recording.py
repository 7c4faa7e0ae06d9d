"""What Stable-Baselines3's rollout buffer does not keep of an environment phase."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from hyperrl_env.inner_envs.atari import RAW_REWARD
from hyperrl_env.learners.rollout_targets import CollectedRollout


class RecordedPhase(NamedTuple):
    """What SB3's rollout buffer does not keep of an environment phase of T steps in N environments.

    Attributes:
        rewards: Raw, (T, N).
        dones: Whether an inner episode ended, on Atari by a lost life too, (T, N).
        episode_returns: Of the inner episodes that ended, on Atari of whole games; undiscounted.
        episode_lengths: In environment steps; on Atari in frames.
        finite: Whether all observations were; those that were not have become 0.
        rollout: What advantages and returns are computed from.
    """

    rewards: NDArray[np.floating]
    dones: NDArray[np.bool_]
    episode_returns: list[float]
    episode_lengths: list[int]
    finite: bool
    rollout: CollectedRollout


class PhaseRecorder(BaseCallback):
    """Records a phase that SB3 collects: raw rewards, episode ends and episode statistics.

    Observations that are not finite become 0, so that the policy can go on acting.

    Attributes:
        finite: Whether there were none in this phase.
    """

    finite = True

    def _on_rollout_start(self) -> None:
        self.finite = replace_nonfinite(self.model._last_obs)
        self.rewards: list[NDArray[np.floating]] = []
        self.learned_rewards: list[NDArray[np.floating]] = []
        self.time_limit_values: list[NDArray[np.float32]] = []
        self.dones: list[NDArray[np.bool_]] = []
        self.episode_returns: list[float] = []
        self.episode_lengths: list[int] = []

    def _on_step(self) -> bool:
        self.finite &= replace_nonfinite(self.locals["new_obs"])
        self.rewards.append(self._raw_rewards())
        # SB3 adds the bootstrap of a time limit to `rewards` in place after this call: copy now.
        self.learned_rewards.append(self.locals["rewards"].copy())
        self.time_limit_values.append(self._time_limit_values())
        self.dones.append(self.locals["dones"].copy())
        for info in self.locals["infos"]:
            if "episode" in info:
                self.episode_returns.append(float(info["episode"]["r"]))
                self.episode_lengths.append(int(info["episode"]["l"]))
        return True

    def recorded(self, values: NDArray[np.float32]) -> RecordedPhase:
        """The phase.

        Args:
            values: V of every observation, as the rollout buffer has them, (T, N).
        """
        dones = np.stack(self.dones)
        rollout = CollectedRollout(
            rewards=np.stack(self.learned_rewards),
            dones=dones,
            values=values,
            time_limit_values=np.stack(self.time_limit_values),
            last_values=self.locals["values"].cpu().numpy().flatten(),
        )
        return RecordedPhase(
            np.stack(self.rewards), dones, self.episode_returns, self.episode_lengths, self.finite, rollout
        )

    def _raw_rewards(self) -> NDArray[np.floating]:
        infos, normalizer = self.locals["infos"], self.model.get_vec_normalize_env()
        if RAW_REWARD in infos[0]:
            return np.array([info[RAW_REWARD] for info in infos], np.float32)
        if normalizer is not None:
            return normalizer.get_original_reward()
        return cast(NDArray[np.floating], self.locals["rewards"].copy())

    @torch.no_grad()
    def _time_limit_values(self) -> NDArray[np.float32]:
        policy = cast(ActorCriticPolicy, self.model.policy)
        values = np.zeros(len(self.locals["dones"]), np.float32)
        for i in np.flatnonzero(self.locals["dones"]):
            info = self.locals["infos"][i]
            if info.get("TimeLimit.truncated", False) and info.get("terminal_observation") is not None:
                # To the bit what SB3 bootstraps with: one observation by itself.
                observation, _ = policy.obs_to_tensor(info["terminal_observation"])
                values[i] = policy.predict_values(cast(Tensor, observation)).item()
        return values


def replace_nonfinite(observations: Any) -> bool:
    """Sets to 0, in place, what is not finite in float32, the policy's type; whether there was nothing."""
    parts = observations.values() if isinstance(observations, dict) else (observations,)
    finite = True
    for part in parts:
        if part.dtype.kind == "f":
            with np.errstate(over="ignore"):
                good = np.isfinite(part.astype(np.float32, copy=False))
            if not good.all():
                part[~good] = 0.0
                finite = False
    return finite


def variances_are_finite(normalizer: VecNormalize | None) -> bool:
    """Whether the running variances of observations are: past overflow all normalised observations are 0."""
    if normalizer is None or not normalizer.norm_obs:
        return True
    statistics = normalizer.obs_rms
    parts = statistics.values() if isinstance(statistics, dict) else (statistics,)
    return all(np.isfinite(part.var).all() for part in parts)
