"""Resident memory and open files over one run of PPO on HalfCheetah under episodic control."""

import argparse
import tempfile
from pathlib import Path

import gymnasium as gym
import numpy as np
from timing import machine

import agents
import hyperrl_env  # noqa: F401 - registers the ids


def resident_mib() -> float:
    """This process's resident memory (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def open_files() -> int:
    """This process's open file descriptors (Linux)."""
    return len(list(Path("/proc/self/fd").iterdir()))


def main() -> None:
    """Prints the means over the first and the last tenth of the run; a checkpoint is written each phase."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env-steps", type=int, default=1_000_000)
    env = gym.make("HyperRL-PPO-HalfCheetah-v0", total_env_steps=parser.parse_args().env_steps)
    agent = agents.make("epgt", env, seed=0)
    samples = []
    checkpoint = Path(tempfile.mkdtemp()) / "checkpoint"

    def sample(step: agents.Step) -> None:
        if "phase_stats" in step.next_info:
            env.unwrapped.save(checkpoint)
            samples.append((resident_mib(), open_files()))

    agents.run(env, agent, seed=0, callback=sample)
    tenth = max(len(samples) // 10, 1)
    (first, first_files), (last, last_files) = np.mean(samples[:tenth], 0), np.mean(samples[-tenth:], 0)
    print(machine())
    change = last / first - 1
    print(f"resident memory: {first:.0f} MiB in the first tenth, {last:.0f} MiB in the last: {change:+.1%}")
    print(f"open files: {first_files:.1f} in the first tenth, {last_files:.1f} in the last")


if __name__ == "__main__":
    main()
