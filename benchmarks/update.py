"""One PPO update, by the width of the policy's layers."""

from __future__ import annotations

from benchmarks.envs import half_cheetah
from benchmarks.phases import phases_of_learner, phases_of_sb3
from benchmarks.tables import Table, at_least, duration, median, spread
from benchmarks.timing import divided, interleaved, ratios

N_STEPS, BATCH_SIZE, N_EPOCHS = 2048, 64, 2
AIM_WIDTH, AIM = 64, 10.0


def table(quick: bool = False) -> Table:
    """Stable-Baselines3's `train()` against both backends."""
    n_steps = BATCH_SIZE if quick else N_STEPS
    rows = []
    for width in (AIM_WIDTH,) if quick else (AIM_WIDTH, 128, 256, 512):
        settings = {
            "n_steps": n_steps,
            "batch_size": BATCH_SIZE,
            "n_epochs": N_EPOCHS,
            "policy_kwargs": {"net_arch": [width, width]},
        }
        sides = {
            "SB3": phases_of_sb3("MlpPolicy", half_cheetah(), settings).update,
            "eager": phases_of_learner("eager", half_cheetah(), settings).update,
            "fast": phases_of_learner("fast", half_cheetah(), settings).update,
        }
        times = interleaved(sides, repetitions=2 if quick else 9)
        minibatches = N_EPOCHS * n_steps // BATCH_SIZE
        ratio = ratios(times["SB3"], times["fast"])
        rows.append(
            [
                f"{width}",
                *(median(divided(seconds, minibatches), duration) for seconds in times.values()),
                spread(ratios(times["SB3"], times["eager"])),
                spread(ratio),
                at_least(AIM, ratio) if width == AIM_WIDTH else "",
            ]
        )
    return Table(
        "One PPO update",
        f"HalfCheetah, a minibatch of {BATCH_SIZE}, two hidden layers with tanh. SB3 is "
        "Stable-Baselines3's `train()`.",
        ["width", "SB3", "eager", "fast", "SB3 / eager", "SB3 / fast", "aim"],
        rows,
    )
