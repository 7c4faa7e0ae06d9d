"""Finished runs with the task's own settings beside a run: the reference for its learning curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config
from hyperrl_lab.results import Columns, outcome, read_episodes

# Keywords that have no effect on a run with the task's own settings.
_CHOICES_ONLY = frozenset(
    {
        *("search_space", "action_mode", "decision", "learning_episode_phases"),
        *("observation", "order", "projection_dim", "hyper_reward"),
    }
)


def default_runs(folder: Path) -> dict[int, Columns]:
    """The inner episodes of finished runs with the same task and budget and the task's own settings.

    Searches the folders beside `folder`, which are only read. Folders that cannot be read, or that hold
    something else, are skipped.

    Args:
        folder: The run's folder.

    Returns:
        The results of `read_episodes` by seed, in ascending order.
    """
    folder = folder.resolve()
    found: dict[int, Columns] = {}
    try:
        task = _task(read_config(folder / CONFIG_FILE)[0])
        beside = sorted(path for path in folder.parent.iterdir() if path != folder)
    except (OSError, ValueError):
        return {}
    for other in beside:
        try:
            config, _ = read_config(other / CONFIG_FILE)
            if _is_default(config) and _task(config) == task and outcome(other) == "finished":
                episodes = read_episodes(other)
                if len(episodes["env_steps"]) and len(episodes["return"]):
                    found.setdefault(config.seed, episodes)
        except (OSError, ValueError, LookupError, pa.ArrowException):
            continue
    return dict(sorted(found.items()))


def _task(config: RunConfig) -> tuple[str, int | None, dict[str, Any]]:
    settings = {key: value for key, value in config.env_kwargs.items() if key not in _CHOICES_ONLY}
    return config.id, config.total_env_steps, settings


def _is_default(config: RunConfig) -> bool:
    return config.agent == "fixed" and config.agent_kwargs.get("action", "default") == "default"
