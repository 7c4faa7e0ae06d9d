"""One PPO update (batch 64, two hidden layers of 64, tanh): SB3's `train()` against the fast backend."""

from stable_baselines3 import PPO
from timing import interleaved, machine, report

from hyperrl_env.inner_envs import make_inner_envs
from hyperrl_env.learners import learner_class, make_learner

MINIBATCHES = 320


def main() -> None:
    """Prints both sides and the ratio."""

    def envs():
        return make_inner_envs("HalfCheetah-v5", env_kwargs={}, n_envs=1, normalize=True, gamma=0.99)

    sb3 = PPO("MlpPolicy", envs(), seed=0, device="cpu")
    _, callback = sb3._setup_learn(1_000_000)
    sb3.collect_rollouts(sb3.env, callback, sb3.rollout_buffer, sb3.n_steps)
    learners = {}
    for backend in ("eager", "compiled"):
        learners[backend] = make_learner(learner_class("PPO", backend), envs(), {}, seed=0, device="cpu")
        learners[backend].start_run(1_000_000, gradient_order=2)
        learners[backend].environment_phase()

    def train(learner):
        learner._begin_update_phase()
        while not learner.update_phase_finished:
            learner.policy_update(learner.default_values())

    sides = {
        "SB3 train()": sb3.train,
        "eager": lambda: train(learners["eager"]),
        "compiled": lambda: train(learners["compiled"]),
    }
    print(machine())
    report("PPO update, batch 64", interleaved(sides, 5), MINIBATCHES, "minibatch")


if __name__ == "__main__":
    main()
