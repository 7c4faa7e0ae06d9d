"""Inner environments of Gymnasium against EnvPool's, stepped alone and in the environment phase."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.tables import Table, UnavailableError, duration, median, spread
from benchmarks.timing import Side, divided, interleaved, ratios
from hyperrl_env.inner_envs.make import VecBackend, make_inner_envs
from hyperrl_env.learners import make_learner

N_ENVS = 16
BACKENDS: tuple[VecBackend, ...] = ("gymnasium", "envpool")
CASES = (
    ("HalfCheetah-v5", 200),
    ("BipedalWalker-v3", 200),
    ("LunarLanderContinuous-v3", 200),
    ("ALE/Pong-v5", 20),
)


def table(quick: bool = False) -> Table:
    """Two rows per task."""
    if find_spec("envpool") is None:
        raise UnavailableError("the extra `envpool` is not installed")
    rows = []
    for env_id, steps in CASES[:1] if quick else CASES:
        for what, side in (("steps alone", stepping), ("environment phase", environment_phase)):
            sides: dict[str, Side] = {b: side(env_id, b, steps) for b in BACKENDS}
            times = interleaved(sides, repetitions=1 if quick else 9)
            rows.append(
                [
                    env_id,
                    what,
                    *(median(divided(seconds, steps * N_ENVS), duration) for seconds in times.values()),
                    spread(ratios(times["gymnasium"], times["envpool"])),
                ]
            )
    return Table(
        "Gymnasium and EnvPool",
        f"{N_ENVS} inner environments, time per environment step; EnvPool's one thread counts.",
        ["inner environment", "", "Gymnasium", "EnvPool", "Gymnasium / EnvPool"],
        rows,
    )


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


def stepping(env_id: str, vec_backend: VecBackend, steps: int) -> Side:
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


def environment_phase(env_id: str, vec_backend: VecBackend, steps: int) -> Side:
    """PPO's on the fast backend."""
    envs = make_envs(env_id, vec_backend, normalize=True)
    learner = make_learner("PPO", "auto", envs, {"n_steps": steps}, seed=0, device="cpu")
    learner.start_run(1_000_000, gradient_order=2)
    return learner.environment_phase
