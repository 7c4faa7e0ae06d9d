"""One PPO update (batch 64, two hidden layers, tanh): SB3's `train()` against the fast backend, by width."""

import argparse

from phases import phases_of_learner, phases_of_sb3
from timing import interleaved, machine, report

from hyperrl_env.inner_envs.make import make_inner_envs

WIDTHS = (64, 128, 256, 512)
N_STEPS, BATCH_SIZE, N_EPOCHS = 2048, 64, 2


def main() -> None:
    """Prints both sides and the ratio."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(machine())
    for width in WIDTHS:
        settings = {
            "n_steps": N_STEPS,
            "batch_size": BATCH_SIZE,
            "n_epochs": N_EPOCHS,
            "policy_kwargs": {"net_arch": [width, width]},
        }
        sides = {
            "SB3 train()": phases_of_sb3("MlpPolicy", cheetah(), settings).update,
            "eager": phases_of_learner("eager", cheetah(), settings).update,
            "fast": phases_of_learner("fast", cheetah(), settings).update,
        }
        minibatches = N_EPOCHS * N_STEPS // BATCH_SIZE
        report(f"PPO update, width {width}", interleaved(sides, 5), minibatches, "minibatch")


def cheetah():
    """HalfCheetah, normalised."""
    return make_inner_envs("HalfCheetah-v5", env_kwargs={}, n_envs=1, normalize=True, gamma=0.99)


if __name__ == "__main__":
    main()
