"""Videos of the policy that a run has trained."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from hyperrl_env import HyperRLEnv
from hyperrl_env.checks import check_at_least
from hyperrl_env.inner_run import InnerRunConfig
from hyperrl_env.policy import evaluate as play
from hyperrl_lab.config import CONFIG_FILE, read_config
from hyperrl_lab.evaluation import evaluation_seed, read_policy
from hyperrl_lab.run import make_env

EPISODES = 1


def watch(
    folder: Path, out: Path | None = None, *, episodes: int = EPISODES, seed: int | None = None
) -> tuple[list[float], list[Path]]:
    """Plays deterministic episodes with a run's last policy, in a video or in a window.

    Args:
        folder: The run's.
        out: Folder of the videos, one per episode, `episode-1.mp4` and so on; made if it is missing. None: a
            window.
        episodes: How many.
        seed: Seeds the inner environment. None: as `hyperrl evaluate` does.

    Returns:
        The returns of the episodes, and the videos.

    Raises:
        ValueError: The folder holds no run, or the inner environment cannot be shown so.
        CheckpointError: The run has written no results yet.
        FileExistsError: A video of this name exists.
    """
    check_at_least("episodes", episodes, 1)
    config, _ = read_config(folder / CONFIG_FILE)
    state = read_policy(folder)
    videos = [] if out is None else [out / f"episode-{number + 1}.mp4" for number in range(episodes)]
    for video in videos:
        if video.exists():
            raise FileExistsError(f"{video} exists: it is not overwritten. Give another folder with --out.")
    with closing(make_env(config)) as env:
        inner = env.unwrapped
        assert isinstance(inner, HyperRLEnv)
        shown = inner.inner_run_config
        assert isinstance(shown, InnerRunConfig)
    mode = "human" if out is None else "rgb_array"
    shown = replace(shown, vec_backend="gymnasium", env_kwargs={**shown.env_kwargs, "render_mode": mode})
    seed = evaluation_seed(config.seed) if seed is None else seed
    if out is None:
        return play(shown, state, episodes=episodes, seed=seed)[0], []
    out.mkdir(parents=True, exist_ok=True)
    # On the same file system, so that a video appears whole or not at all.
    with tempfile.TemporaryDirectory(dir=out, prefix=".recording-") as temporary:
        # The recorder warns of a folder that exists.
        recorded = Path(temporary) / "videos"

        def record(envs: VecEnv) -> None:
            _record(envs, recorded, episodes)

        returns, _ = play(shown, state, episodes=episodes, seed=seed, prepare=record)
        for number, video in enumerate(videos):
            (recorded / f"rl-video-episode-{number}.mp4").rename(video)
    return returns, videos


def _record(envs: VecEnv, folder: Path, episodes: int) -> None:
    """Has Gymnasium's recorder see what the simulator does, below all preprocessing."""
    base = envs.unwrapped
    assert isinstance(base, DummyVecEnv)
    monitor: Any = base.envs[0]
    while not isinstance(monitor, Monitor):
        monitor = monitor.env
    try:
        monitor.env = gym.wrappers.RecordVideo(
            monitor.env, str(folder), episode_trigger=lambda episode: episode < episodes, disable_logger=True
        )
    except gym.error.DependencyNotInstalled as error:
        raise gym.error.DependencyNotInstalled(
            "Videos need an extra: in a checkout of Hyper-RL, run `python -m pip install --constraint "
            "constraints.txt '.[video]'`."
        ) from error
    except ValueError as error:
        raise ValueError(f"The inner environment cannot be recorded: {error}") from error
