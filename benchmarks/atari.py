"""PPO on Breakout (Nature CNN): one update, and the environment phase."""

from __future__ import annotations

from stable_baselines3.common.vec_env import VecEnv

from benchmarks.phases import phases_of_learner, phases_of_sb3
from benchmarks.tables import Table, duration, median, spread
from benchmarks.timing import Times, divided, interleaved, ratios
from hyperrl_env.inner_envs.make import make_inner_envs

N_ENVS, N_EPOCHS = 8, 2


def table(quick: bool = False) -> Table:
    """A row per batch size, and one for the environment phase."""
    rows = []

    def add(label: str, times: Times, per: int) -> None:
        rows.append(
            [
                label,
                *(median(divided(seconds, per), duration) for seconds in times.values()),
                spread(ratios(times["SB3"], times["eager"])),
                spread(ratios(times["SB3"], times["fast"])),
            ]
        )

    repetitions = 1 if quick else 5
    for size in (32,) if quick else (32, 64, 256, 1024):
        steps = size if quick else max(size, 256)
        settings = {"n_steps": steps // N_ENVS, "batch_size": size, "n_epochs": N_EPOCHS}
        sides = {
            "SB3": phases_of_sb3("CnnPolicy", breakout(), settings),
            "eager": phases_of_learner("eager", breakout(), settings),
            "fast": phases_of_learner("fast", breakout(), settings),
        }
        updates = {name: phases.update for name, phases in sides.items()}
        add(f"update, batch {size:,}", interleaved(updates, repetitions), N_EPOCHS * steps // size)
    collect = {name: phases.environment for name, phases in sides.items()}
    add("environment phase, per step", interleaved(collect, repetitions), steps)
    return Table(
        "Atari",
        f"PPO with the Nature CNN on {N_ENVS} games of Breakout. Convolutions, most of the time, are Torch's "
        "on every side.",
        ["", "SB3", "eager", "fast", "SB3 / eager", "SB3 / fast"],
        rows,
    )


def breakout() -> VecEnv:
    """Games, preprocessed."""
    return make_inner_envs(
        "ALE/Breakout-v5", env_kwargs={}, n_envs=N_ENVS, normalize=False, gamma=0.99, atari=True
    )
