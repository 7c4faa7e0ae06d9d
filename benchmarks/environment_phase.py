"""PPO's environment phase on HalfCheetah, by the number of inner environments."""

from __future__ import annotations

from benchmarks.envs import half_cheetah
from benchmarks.phases import phases_of_learner, phases_of_sb3
from benchmarks.tables import Table, at_least, duration, median, spread
from benchmarks.timing import divided, interleaved, ratios

AIM = 6.5


def table(quick: bool = False) -> Table:
    """Stable-Baselines3's `collect_rollouts` against the fast backend."""
    steps = 64 if quick else 2048
    rows = []
    for n_envs in (1, 4) if quick else (1, 4, 16, 64, 128):
        settings = {"n_steps": steps // n_envs, "batch_size": 32}
        sides = {
            "SB3": phases_of_sb3("MlpPolicy", half_cheetah(n_envs), settings).environment,
            "fast": phases_of_learner("fast", half_cheetah(n_envs), settings).environment,
        }
        times = interleaved(sides, repetitions=2 if quick else 9)
        ratio = ratios(times["SB3"], times["fast"])
        rows.append(
            [
                f"{n_envs}",
                *(median(divided(seconds, steps), duration) for seconds in times.values()),
                spread(ratio),
                at_least(AIM, ratio) if n_envs == 1 else "",
            ]
        )
    return Table(
        "Environment phase",
        "HalfCheetah, PPO; time per environment step. SB3 is Stable-Baselines3's `collect_rollouts`. Inner "
        "environments are stepped one after the other on both sides.",
        ["environments", "SB3", "fast", "SB3 / fast", "aim"],
        rows,
    )
