"""Runs of the task's own settings that lie beside a run: what its learning curve is compared with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config
from hyperrl_lab.results import Columns, read_episodes

# What the environment does with these changes nothing under the task's own settings.
_CHOICES_ONLY = frozenset(
    {
        *("search_space", "action_mode", "decision", "learning_episode_phases"),
        *("observation", "order", "projection_dim", "hyper_reward"),
    }
)


def default_runs(folder: Path) -> dict[int, Columns]:
    """The inner episodes of finished runs of the same task and budget under the task's own settings.

    They are looked for in the folders beside `folder`, which are only read. Folders that cannot be
    read, or that hold something else, are passed over.

    Args:
        folder: The run's folder.

    Returns:
        What `read_episodes` returns, by seed, in ascending order.
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
            if _is_default(config) and _task(config) == task and _is_finished(other):
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


def _is_finished(folder: Path) -> bool:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return isinstance(summary, dict) and summary.get("status") == "finished"
