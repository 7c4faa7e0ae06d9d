"""PPO on Breakout (Nature CNN): SB3 against the fast backend, one update and the environment phase."""

import argparse

from stable_baselines3 import PPO
from timing import interleaved, machine, report

from hyperrl_env.inner_envs import make_inner_envs
from hyperrl_env.learners import learner_class, make_learner

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
        update, collect = sides({"n_steps": steps // N_ENVS, "batch_size": size, "n_epochs": N_EPOCHS})
        minibatches = N_EPOCHS * steps // size
        report(f"batch {size}", interleaved(update, arguments.repetitions), minibatches, "update")
    report(f"{N_ENVS} games", interleaved(collect, arguments.repetitions), steps, "env step")


def sides(settings):
    """An update phase, and an environment phase, by each side's name."""

    def envs():
        return make_inner_envs(
            "ALE/Breakout-v5", env_kwargs={}, n_envs=N_ENVS, normalize=False, gamma=0.99, atari=True
        )

    def train(learner):
        learner._begin_update_phase()
        while not learner.update_phase_finished:
            learner.policy_update(learner.default_values())

    def collected(backend):
        learner = make_learner(learner_class("PPO", backend), envs(), settings, seed=0, device="cpu")
        learner.start_run(1_000_000, gradient_order=2)
        learner.environment_phase()
        return learner

    sb3 = PPO("CnnPolicy", envs(), **settings, seed=0, device="cpu")
    _, callback = sb3._setup_learn(1_000_000)

    def collect():
        sb3.collect_rollouts(sb3.env, callback, sb3.rollout_buffer, sb3.n_steps)

    collect()
    eager, compiled = collected("eager"), collected("compiled")
    return (
        {"SB3 train()": sb3.train, "eager": lambda: train(eager), "compiled": lambda: train(compiled)},
        {"SB3": collect, "compiled": compiled.environment_phase},
    )


if __name__ == "__main__":
    main()
