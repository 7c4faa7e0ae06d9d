"""Scores that returns of different tasks are measured by: 0 is the low one, 1 the high one.

The low score is that of uniformly random actions, the high one a good published score, or on Atari a human
tester's. They are no goals: a good run can score above 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

_EPISODES = 100
_ZOO = "RL Baselines3 Zoo, benchmark.md (commit 0088472), PPO"
_ZOO_A2C = "RL Baselines3 Zoo, benchmark.md (commit 0088472), A2C"
_TIANSHOU = "tianshou's MuJoCo benchmark, PPO after 1M steps"
_ATARI = "random and human scores of Mnih et al. 2015, as in atari_data.py of DeepMind's DQN Zoo"


@dataclass(frozen=True)
class ReferenceScores:
    """What 0 and 1 stand for on a task.

    Attributes:
        low: Mean return of uniformly random actions. Except on Atari: measured, see `random_policy_score`.
        high: A good score.
        source: Where `high` is from; on Atari both.
    """

    low: float
    high: float
    source: str

    def normalised(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Scores in these units.

        Example:
            >>> ReferenceScores(-20.0, 80.0, "").normalised([-20.0, 30.0, 80.0]).tolist()
            [0.0, 0.5, 1.0]
        """
        return (np.asarray(scores, dtype=float) - self.low) / (self.high - self.low)


# By the task's name in the ids.
REFERENCE_SCORES: Mapping[str, ReferenceScores] = {
    "HalfCheetah": ReferenceScores(-277.86, 5819.10, f"{_ZOO} after 1M steps"),
    "Hopper": ReferenceScores(16.67, 2410.44, f"{_ZOO} after 1M steps"),
    "Walker2d": ReferenceScores(1.77, 3478.80, f"{_ZOO} after 1M steps"),
    "Swimmer": ReferenceScores(0.80, 281.56, f"{_ZOO} after 1M steps (gamma 0.9999)"),
    "Ant": ReferenceScores(-67.54, 1327.16, f"{_ZOO} after 1M steps"),
    "Humanoid": ReferenceScores(112.60, 787.0, _TIANSHOU),
    "InvertedDoublePendulum": ReferenceScores(49.09, 9231.0, _TIANSHOU),
    "BipedalWalker": ReferenceScores(-102.82, 299.75, f"{_ZOO_A2C} after 5M steps"),
    "LunarLanderContinuous": ReferenceScores(-212.68, 270.86, f"{_ZOO} after 1M steps"),
    "MountainCarContinuous": ReferenceScores(-33.25, 88.34, f"{_ZOO} after 20,000 steps"),
    "MountainCar": ReferenceScores(-200.0, -110.42, f"{_ZOO} after 1M steps"),
    "CartPole": ReferenceScores(23.68, 500.0, f"{_ZOO} after 100,000 steps: the most possible"),
    "Pendulum": ReferenceScores(-1207.56, -172.23, f"{_ZOO} after 100,000 steps"),
    "Alien": ReferenceScores(227.8, 7127.7, _ATARI),
    "BeamRider": ReferenceScores(363.9, 16926.5, _ATARI),
    "Breakout": ReferenceScores(1.7, 30.5, _ATARI),
    "MsPacman": ReferenceScores(307.3, 6951.6, _ATARI),
    "Pong": ReferenceScores(-20.7, 14.6, _ATARI),
    "Qbert": ReferenceScores(163.9, 13455.0, _ATARI),
    "Seaquest": ReferenceScores(68.4, 42054.7, _ATARI),
    "SpaceInvaders": ReferenceScores(148.0, 1668.7, _ATARI),
}


def random_policy_score(env_id: str, episodes: int = _EPISODES, **kwargs: Any) -> float:
    """The mean return of uniformly random actions: the table's low scores, to two digits.

    Args:
        env_id: A Gymnasium id. The table's were measured with Gymnasium 1.4.0 and MuJoCo 3.12.0.
        episodes: How many; the n-th starts from seed n.
        **kwargs: Keywords of `gymnasium.make`.
    """
    env = gym.make(env_id, **kwargs)
    env.action_space.seed(0)
    returns = []
    for seed in range(episodes):
        env.reset(seed=seed)
        ended, total = False, 0.0
        while not ended:
            _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    env.close()
    return float(np.mean(returns))
