"""What `reset` and `step` report in `info`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyperrl_env.diagnostics import DIAGNOSTICS
from hyperrl_env.hyper_reward import HYPER_REWARDS, EnvironmentPhase
from hyperrl_env.inner_run import InnerRun


def step_info(run: InnerRun, *, run_finished: bool, diverged: bool, restarted: bool) -> dict[str, Any]:
    """What every `info` holds.

    Args:
        run: The present run.
        run_finished: Whether it has ended.
        diverged: Whether an update of this step was refused.
        restarted: Whether loading a state had to start new inner episodes; in `info` only if so.
    """
    return {
        "hyperparameters": run.learner.values_in_force(),
        "env_steps": run.env_steps,
        "phase": run.phase,
        "update_step": run.learner.update_step,
        "run_finished": run_finished,
        "diverged": diverged,
        **({"inner_episodes_restarted": True} if restarted else {}),
    }


def phase_info(
    statistics: Mapping[str, float | None],
    phase: EnvironmentPhase | None,
    diagnostics: NDArray[np.float32],
) -> dict[str, Any]:
    """What `info` holds at the end of a phase besides.

    Args:
        statistics: Of the update phase; empty if there was none.
        phase: The environment phase after it; None if there was none.
        diagnostics: After both.

    Returns:
        Every hyper-reward by its name, None if it is not finite; `phase_stats`, and `diagnostics`.
    """
    episodes = [] if phase is None else zip(phase.episode_returns, phase.episode_lengths, strict=True)
    # Nobody knows what an episode with a reward that is not finite was worth.
    finite = [(reward, length) for reward, length in episodes if math.isfinite(reward)]
    found = {} if phase is None else {name: f(phase) for name, f in HYPER_REWARDS.known.items()}
    return {
        **{name: value if math.isfinite(value) else None for name, value in found.items()},
        "phase_stats": {
            "returns": [reward for reward, _ in finite],
            "lengths": [length for _, length in finite],
            **statistics,
        },
        "diagnostics": dict(zip(DIAGNOSTICS, diagnostics.tolist(), strict=True)),
    }
