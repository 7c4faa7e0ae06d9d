"""What it costs to take and to restore a snapshot, and to write and read a checkpoint."""

import tempfile
from pathlib import Path

import gymnasium as gym
from timing import interleaved, machine

import hyperrl_env  # noqa: F401 - registers the ids

IDS = ("HyperRL-PPO-HalfCheetah-v0", "HyperRL-A2C-HalfCheetah-v0", "HyperRL-PPO-CartPole-v0")


def main() -> None:
    """Prints milliseconds of CPU time per call."""
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        for id_ in IDS:
            env = gym.make(id_).unwrapped
            env.reset(seed=0)
            env.step(env.default_action)
            snapshot = env.snapshot()
            calls = {
                "snapshot": env.snapshot,
                "restore": lambda env=env, snapshot=snapshot: env.restore(snapshot),
                "save": lambda env=env: env.save(path),
                "load": lambda env=env: env.load(path),
            }
            costs = interleaved(calls, repetitions=30)
            figures = ", ".join(f"{name} {1e3 * cost:.2f} ms" for name, cost in costs.items())
            print(f"{id_}: {figures}, {path.stat().st_size / 1e6:.2f} MB")
            env.close()


if __name__ == "__main__":
    main()
