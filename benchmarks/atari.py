"""PPO on Breakout (Nature CNN): SB3 against the fast backend, one update and the environment phase."""

import argparse

from phases import phases_of_learner, phases_of_sb3
from timing import interleaved, machine, report

from hyperrl_env.inner_envs.make import make_inner_envs

N_ENVS, N_EPOCHS = 8, 2


def main() -> None:
    """Prints both sides and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[32, 64, 256])
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    print(machine())
    for size in arguments.batch_sizes:
        steps = max(size, 256)
        settings = {"n_steps": steps // N_ENVS, "batch_size": size, "n_epochs": N_EPOCHS}
        sb3 = phases_of_sb3("CnnPolicy", games(), settings)
        eager, fast = (phases_of_learner(backend, games(), settings) for backend in ("eager", "fast"))
        update = {"SB3 train()": sb3.update, "eager": eager.update, "fast": fast.update}
        minibatches = N_EPOCHS * steps // size
        report(f"batch {size}", interleaved(update, arguments.repetitions), minibatches, "update")
    collect = {"SB3": sb3.environment, "fast": fast.environment}
    report(f"{N_ENVS} games", interleaved(collect, arguments.repetitions), steps, "env step")


def games():
    """Breakout, preprocessed."""
    return make_inner_envs(
        "ALE/Breakout-v5", env_kwargs={}, n_envs=N_ENVS, normalize=False, gamma=0.99, atari=True
    )


if __name__ == "__main__":
    main()
