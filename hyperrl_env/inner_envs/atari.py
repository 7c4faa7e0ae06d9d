"""Atari: which games there are, and how they are preprocessed.

The preprocessing is the usual one (Mnih et al. 2015; the paper's `{Game}NoFrameskip-v4` with OpenAI's
wrappers), in Stable-Baselines3's parts. `ALE/{Game}-v5` without its own frame skip and sticky actions
is the same simulator; it is registered for every game, `NoFrameskip-v4` only for the older ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsFloat

import gymnasium as gym
from stable_baselines3.common.atari_wrappers import AtariWrapper, ClipRewardEnv
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecTransposeImage

FRAME_SKIP = 4
FRAME_STACK = 4
NOOP_MAX = 30
SCREEN_SIZE = 84

# Where an `info` keeps the reward before it was clipped for the learner.
RAW_REWARD = "raw_reward"

# Their smallest action set lacks the no-op that the preprocessing begins with; the full one has it.
_WITHOUT_NOOP = ("ALE/Backgammon-v5", "ALE/VideoCheckers-v5")

# Known without ale-py too, so that making one of them says what to install.
_BEST_KNOWN = ("Alien", "BeamRider", "Breakout", "MsPacman", "Pong", "Qbert", "Seaquest", "SpaceInvaders")


def game_names() -> tuple[str, ...]:
    """The games that ale-py ships, as its ids `ALE/{Game}-v5` name them; a few if it is missing."""
    try:
        import ale_py  # noqa: F401 - registers its ids
    except ImportError:
        return _BEST_KNOWN
    ids = (id_ for id_ in gym.registry if id_.startswith("ALE/") and id_.endswith("-v5"))
    return tuple(sorted(id_.removeprefix("ALE/").removesuffix("-v5") for id_ in ids))


def make_atari_envs(env_id: str, *, env_kwargs: Mapping[str, Any], n_envs: int) -> VecEnv:
    """Builds preprocessed games, stepped one after the other.

    Every environment starts with up to 30 no-ops and, if the game waits for it, the fire button;
    an action is held for 4 frames. Observations are the last 4 screens, each the maximum of two
    frames, in 84 x 84 greys: uint8, (4, 84, 84). A lost life ends an episode for the learner, the
    game goes on; rewards are clipped to their sign, `info["raw_reward"]` is the score.
    `info["episode"]`, at the end of a game, counts its raw score and its frames, all lives together.

    Args:
        env_id: `ALE/{Game}-v5`.
        env_kwargs: ale-py's further keyword arguments, as `mode` and `difficulty`.
        n_envs: How many.

    Raises:
        ImportError: ale-py or OpenCV is missing.
    """
    import ale_py
    import cv2  # noqa: F401 - SB3 would find out only at the first observation

    # As every AtariEnv sets it, but before ale-py greets.
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    envs = make_vec_env(
        env_id,
        n_envs=n_envs,
        env_kwargs={"frameskip": 1, **game_kwargs(env_id), **env_kwargs},
        wrapper_class=_preprocessed,
    )
    return VecTransposeImage(VecFrameStack(envs, FRAME_STACK))


def game_kwargs(env_id: str) -> dict[str, Any]:
    """How the simulator is set: no sticky actions, and the smallest action set that has a no-op."""
    return {"repeat_action_probability": 0.0, "full_action_space": env_id in _WITHOUT_NOOP}


def _preprocessed(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    # SB3's Monitor is already around the game itself, below the clipping and the ends of lives.
    processed = AtariWrapper(
        env, noop_max=NOOP_MAX, frame_skip=FRAME_SKIP, screen_size=SCREEN_SIZE, clip_reward=False
    )
    return ClipRewardEnv(KeepRawReward(processed))


class KeepRawReward(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps the reward in `info` for readers above a wrapper that changes it."""

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """See `gymnasium.Wrapper.step`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, {**info, RAW_REWARD: float(reward)}
