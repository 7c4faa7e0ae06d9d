"""The environment phase on HalfCheetah: SB3's `collect_rollouts` against the fast backend."""

from stable_baselines3 import PPO
from timing import interleaved, machine, report

from hyperrl_env.inner_envs import make_inner_envs
from hyperrl_env.learners import learner_class, make_learner


def main() -> None:
    """Prints both sides and the ratio, for 1 to 128 inner environments."""
    print(machine())
    for n_envs in (1, 4, 16, 64, 128):
        n_steps = 2048 // n_envs

        def envs(n_envs=n_envs):
            return make_inner_envs("HalfCheetah-v5", env_kwargs={}, n_envs=n_envs, normalize=True, gamma=0.99)

        sb3 = PPO("MlpPolicy", envs(), n_steps=n_steps, seed=0, device="cpu")
        _, callback = sb3._setup_learn(1_000_000)
        fast = make_learner(
            learner_class("PPO", "compiled"), envs(), {"n_steps": n_steps}, seed=0, device="cpu"
        )
        fast.start_run(1_000_000, gradient_order=2)
        sides = {
            "SB3": lambda sb3=sb3, c=callback: sb3.collect_rollouts(
                sb3.env, c, sb3.rollout_buffer, sb3.n_steps
            ),
            "compiled": fast.environment_phase,
        }
        report(f"environment phase, {n_envs} environment(s)", interleaved(sides, 5), n_steps * n_envs, "step")


if __name__ == "__main__":
    main()
