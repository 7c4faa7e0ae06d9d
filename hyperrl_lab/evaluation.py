"""Deterministic episodes of the policy that a run has trained."""

from __future__ import annotations

import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from hyperrl_env import CheckpointError, HyperRLEnv
from hyperrl_env.checks import check_at_least, check_between
from hyperrl_env.policy import evaluate as play
from hyperrl_env.saving.checkpoint import read_checkpoint
from hyperrl_env.saving.files import write_text
from hyperrl_lab.config import CONFIG_FILE, read_config
from hyperrl_lab.folder import RunFolder
from hyperrl_lab.lock import FolderLock
from hyperrl_lab.results import read_summary
from hyperrl_lab.run import POLICY_FILE, make_env

EVALUATION_FILE = "evaluation.json"
EPISODES = 20
_SEEDS = 2**32


def evaluation_seed(seed: int) -> int:
    """The seed of a run's evaluation: half of all seeds away from the run's own."""
    return (seed + _SEEDS // 2) % _SEEDS


def read_policy(folder: Path) -> dict[str, Any]:
    """The last policy of a run, as `hyperrl_env.policy` takes it.

    Raises:
        CheckpointError: The run has not written it yet, or it is damaged or of another version.
    """
    if POLICY_FILE not in RunFolder(folder).own():
        raise CheckpointError(
            f"{folder} holds no {POLICY_FILE}: the run has written no results yet. "
            f"To continue it: `hyperrl resume {folder}`."
        )
    state: dict[str, Any] = read_checkpoint(folder / POLICY_FILE)
    return state


def read_evaluation(folder: Path) -> dict[str, Any] | None:
    """The result of `evaluate`; None if there is none, or only one from before the run was trained further.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged.
    """
    try:
        content = json.loads((folder / EVALUATION_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    summary = read_summary(folder)
    # A search counts the steps of all its runs, and removes the evaluation when another run is its best. A
    # policy has more steps than the summary if the run failed in an environment phase.
    if "best" not in summary and content.get("env_steps", math.inf) < summary.get("env_steps", 0):
        return None
    return content


def evaluate(folder: Path, episodes: int = EPISODES, seed: int | None = None) -> dict[str, Any]:
    """Evaluates the last policy of a run, and writes the result to `evaluation.json` beside it.

    The policy always takes its most probable action; observations are normalised as in training, with
    statistics that no longer change. Returns are undiscounted sums of raw rewards.

    Args:
        folder: The run's.
        episodes: Inner episodes, one after the other.
        seed: Seeds the inner environment, in [0, 2**32). None: `evaluation_seed` of the run's.

    Returns:
        What the file holds: `episodes`, `seed`, `env_steps` (that trained the policy), `returns`,
        `lengths`, `mean_return` and `std_return`. A return that is no finite number is None, as then are
        the mean and the standard deviation.

    Raises:
        ValueError: The folder holds no run, or a number is out of range.
        CheckpointError: The run has not ended yet, or its policy is damaged or of another version.
        FileExistsError: Another process is using the folder, or it holds an `evaluation.json` of another
            origin.
    """
    check_at_least("episodes", episodes, 1)
    if seed is not None:
        check_between("seed", seed, 0, _SEEDS - 1)
    config, _ = read_config(folder / CONFIG_FILE)
    with FolderLock(folder):
        files = RunFolder(folder)
        files.check([EVALUATION_FILE])
        state = read_policy(folder)
        seed = evaluation_seed(config.seed) if seed is None else seed
        with closing(make_env(config)) as env:
            inner = env.unwrapped
            assert isinstance(inner, HyperRLEnv)
            returns, lengths = play(inner.inner_run_config, state, episodes=episodes, seed=seed)
        statistics = float(np.mean(returns)), float(np.std(returns))
        mean, std = statistics if np.isfinite(statistics).all() else (None, None)
        result = {
            "episodes": episodes,
            "seed": seed,
            "env_steps": state["env_steps"],
            # JSON has no other numbers.
            "returns": [value if math.isfinite(value) else None for value in returns],
            "lengths": lengths,
            "mean_return": mean,
            "std_return": std,
        }
        write_text(files.claim(EVALUATION_FILE), json.dumps(result, indent=2) + "\n")
    return result
