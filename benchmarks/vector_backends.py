"""16 inner environments, stepped alone and in the environment phase: Gymnasium's against EnvPool's.

Needs the extra envpool. CPU time counts EnvPool's one thread too.
"""

from collections.abc import Callable

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from timing import interleaved, machine, report

from hyperrl_env.inner_envs.make import VecBackend, make_inner_envs
from hyperrl_env.learners import make_learner

N_ENVS = 16
BACKENDS: tuple[VecBackend, ...] = ("gymnasium", "envpool")


def make_envs(env_id: str, vec_backend: VecBackend, normalize: bool) -> VecEnv:
    """As a task makes them; games are never normalised."""
    atari = env_id.startswith("ALE/")
    return make_inner_envs(
        env_id,
        env_kwargs={},
        n_envs=N_ENVS,
        normalize=normalize and not atari,
        gamma=0.99,
        atari=atari,
        vec_backend=vec_backend,
    )


def stepping(env_id: str, vec_backend: VecBackend, steps: int) -> Callable[[], None]:
    """Random actions, the same on both sides."""
    envs = make_envs(env_id, vec_backend, normalize=False)
    envs.seed(0)
    envs.reset()
    envs.action_space.seed(0)
    actions = [np.stack([envs.action_space.sample() for _ in range(N_ENVS)]) for _ in range(steps)]

    def step() -> None:
        for action in actions:
            envs.step(action)

    return step


def environment_phase(env_id: str, vec_backend: VecBackend, steps: int) -> Callable[[], object]:
    """PPO's on the fast backend; SB3's own on Atari."""
    envs = make_envs(env_id, vec_backend, normalize=True)
    learner = make_learner("PPO", "auto", envs, {"n_steps": steps}, seed=0, device="cpu")
    learner.start_run(1_000_000, gradient_order=2)
    return learner.environment_phase


def main() -> None:
    """Prints two lines per task."""
    print(machine())
    for env_id, steps in (
        ("HalfCheetah-v5", 200),
        ("BipedalWalker-v3", 200),
        ("LunarLanderContinuous-v3", 200),
        ("ALE/Pong-v5", 20),
    ):
        for what, side in (("steps alone", stepping), ("environment phase", environment_phase)):
            sides = {backend: side(env_id, backend, steps) for backend in BACKENDS}
            report(f"{env_id}, {what}", interleaved(sides, 5), steps * N_ENVS, "step")


if __name__ == "__main__":
    main()
