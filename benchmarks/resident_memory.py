"""Resident memory over one run of PPO on HalfCheetah under episodic control."""

import argparse
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


def main() -> None:
    """Prints the mean over the first and the last tenth of the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env-steps", type=int, default=1_000_000)
    env = gym.make("HyperRL-PPO-HalfCheetah-v0", total_env_steps=parser.parse_args().env_steps)
    agent = agents.make("epgt", env, seed=0)
    obs, info = env.reset(seed=0)
    samples = []
    while not info["run_finished"]:
        action = agent.act(obs, info)
        next_obs, reward, terminated, truncated, info = env.step(action)
        agent.observe(obs, action, reward, next_obs, terminated, truncated, info)
        if "phase_stats" in info:
            samples.append(resident_mib())
        if (terminated or truncated) and not info["run_finished"]:
            next_obs, info = env.reset()
        obs = next_obs
    tenth = max(len(samples) // 10, 1)
    first, last = np.mean(samples[:tenth]), np.mean(samples[-tenth:])
    print(machine())
    change = last / first - 1
    print(f"resident memory: {first:.0f} MiB in the first tenth, {last:.0f} MiB in the last: {change:+.1%}")


if __name__ == "__main__":
    main()
