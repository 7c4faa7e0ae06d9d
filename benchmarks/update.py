"""One PPO update (batch 64, two hidden layers, tanh): SB3's `train()` against the fast backend, by width."""

from stable_baselines3 import PPO
from timing import interleaved, machine, report

from hyperrl_env.inner_envs import make_inner_envs
from hyperrl_env.learners import learner_class, make_learner

WIDTHS = (64, 128, 256, 512)
N_STEPS, BATCH_SIZE, N_EPOCHS = 2048, 64, 2


def main() -> None:
    """Prints both sides and the ratio."""
    print(machine())
    for width in WIDTHS:
        minibatches = N_EPOCHS * N_STEPS // BATCH_SIZE
        report(f"PPO update, width {width}", interleaved(sides(width), 5), minibatches, "minibatch")


def sides(width):
    """An update phase on a rollout of HalfCheetah, by each side's name."""
    settings = {
        "n_steps": N_STEPS,
        "batch_size": BATCH_SIZE,
        "n_epochs": N_EPOCHS,
        "policy_kwargs": {"net_arch": [width, width]},
    }

    def envs():
        return make_inner_envs("HalfCheetah-v5", env_kwargs={}, n_envs=1, normalize=True, gamma=0.99)

    def train(learner):
        learner._begin_update_phase()
        while not learner.update_phase_finished:
            learner.policy_update(learner.default_values())

    def collected(backend):
        learner = make_learner(learner_class("PPO", backend), envs(), settings, seed=0, device="cpu")
        learner.start_run(1_000_000, gradient_order=2)
        learner.environment_phase()
        return learner

    sb3 = PPO("MlpPolicy", envs(), **settings, seed=0, device="cpu")
    _, callback = sb3._setup_learn(1_000_000)
    sb3.collect_rollouts(sb3.env, callback, sb3.rollout_buffer, sb3.n_steps)
    eager, compiled = collected("eager"), collected("compiled")
    return {
        "SB3 train()": sb3.train,
        "eager": lambda: train(eager),
        "compiled": lambda: train(compiled),
    }


if __name__ == "__main__":
    main()
