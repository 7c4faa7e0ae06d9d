"""The environment phase on HalfCheetah: SB3's `collect_rollouts` against the fast backend."""

import argparse

from phases import phases_of_learner, phases_of_sb3
from timing import interleaved, machine, report

from hyperrl_env.inner_envs.make import make_inner_envs


def main() -> None:
    """Prints both sides and the ratio, for 1 to 128 inner environments."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(machine())
    for n_envs in (1, 4, 16, 64, 128):
        settings = {"n_steps": 2048 // n_envs}
        sides = {
            "SB3": phases_of_sb3("MlpPolicy", cheetahs(n_envs), settings).environment,
            "fast": phases_of_learner("fast", cheetahs(n_envs), settings).environment,
        }
        report(f"environment phase, {n_envs} environment(s)", interleaved(sides, 5), 2048, "step")


def cheetahs(n_envs: int):
    """HalfCheetah, normalised."""
    return make_inner_envs("HalfCheetah-v5", env_kwargs={}, n_envs=n_envs, normalize=True, gamma=0.99)


if __name__ == "__main__":
    main()
