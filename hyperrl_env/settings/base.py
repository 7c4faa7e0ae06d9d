"""What settings are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hyperrl_env.presets import get_search_space
from hyperrl_env.search_space import SearchSpace
from hyperrl_env.tasks import Family


@dataclass(frozen=True)
class Settings:
    """How one algorithm trains on one task.

    Attributes:
        learner_kwargs: Stable-Baselines3's constructor arguments, over its own defaults.
        total_env_steps: The budget of a run.
        n_envs: Inner environments that collect side by side.
        normalize: Whether observations and rewards are normalised (running mean and standard
            deviation, clipped at 10).
        search_space: What a hyper-action chooses unless the user says otherwise.
        source: Where the settings come from.
        family: The task's simulator family.
    """

    learner_kwargs: Mapping[str, Any] = field(default_factory=dict)
    total_env_steps: int = 1_000_000
    n_envs: int = 1
    normalize: bool = False
    search_space: SearchSpace = field(default_factory=lambda: get_search_space(["learning_rate"]))
    source: str = "Stable-Baselines3's defaults"
    family: Family = "generic"
