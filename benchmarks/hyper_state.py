"""The hyper-state's size and cost against an update, on an MLP and on the Nature CNN."""

import argparse

import gymnasium as gym
from timing import interleaved, machine

import hyperrl_env  # noqa: F401 - registers the ids

UPDATES = 16
# The rows of all parameter tensors but those of the A actions, and A. Each row of the weights and of the
# two latest gradients is projected to 4 numbers, 12 in all, and the position is one more.
CASES = {"HyperRL-PPO-HalfCheetah-v0": (264, 6), "HyperRL-PPO-Breakout-v0": (679, 4)}


def main() -> None:
    """Prints sizes and times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    for env_id, (rows, n_actions) in CASES.items():
        # One long update phase, which no call leaves.
        settings = {"n_steps": 1024, "batch_size": 64, "n_epochs": 1_000}
        env = gym.make(env_id, n_envs=1, learner_kwargs=settings, disable_env_checker=True).unwrapped
        obs, _ = env.reset(seed=0)
        learner = env.learner
        sides = {
            "update": lambda learner=learner: [
                learner.policy_update(learner.default_values()) for _ in range(UPDATES)
            ],
            "observation": lambda env=env: [env._observation() for _ in range(UPDATES)],
        }
        seconds = interleaved(sides, arguments.repetitions)
        times = ", ".join(f"{name} {value / UPDATES * 1e3:.2f} ms" for name, value in seconds.items())
        share = seconds["observation"] / seconds["update"]
        formula = f"12 ({rows} + {n_actions}) + 1 = {12 * (rows + n_actions) + 1:,}"
        print(f"{env_id}: {obs.size:,} numbers ({formula}); {times}: {share:.1%} of it")


if __name__ == "__main__":
    main()
