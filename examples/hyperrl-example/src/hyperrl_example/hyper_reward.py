"""A hyper-reward."""

from __future__ import annotations

from hyperrl_env import EnvironmentPhase


def best_episode(phase: EnvironmentPhase) -> float:
    """Return of the best inner episode of the phase; 0 if none ended."""
    return float(max(phase.episode_returns, default=0.0))
