"""Learning curves of ACKTR with the tasks' own settings; on HalfCheetah A2C beside it.

Prints each run's scores (mean of the last 100 training episodes, the best such mean, and 20 episodes
without exploration at the end) and draws all curves of a task into OUT/TASK.png. Runs take the fast
backend on one thread, one after the other.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import timing  # noqa: F401 - one thread everywhere
from stable_baselines3.common.evaluation import evaluate_policy

from hyperrl_env import TASKS
from hyperrl_env.inner_envs.make import make_inner_envs
from hyperrl_env.learners import make_learner
from hyperrl_env.tasks import get_settings

# Task: budget, score to reach.
AIMS = {
    "CartPole": (100_000, 475.0),
    "LunarLanderContinuous": (500_000, 150.0),
    "HalfCheetah": (500_000, None),
}
EPISODES = 100


def train(algorithm, task, seed, budget, vec_backend):
    """Environment steps at the end of every inner episode, its return; mean return without exploration."""
    settings = get_settings(algorithm, task)
    kwargs = dict(settings.learner_kwargs)
    envs = make_inner_envs(
        TASKS[task].env_id,
        env_kwargs={},
        n_envs=settings.n_envs,
        normalize=settings.normalize,
        gamma=kwargs["gamma"],
        vec_backend=vec_backend,
    )
    learner = make_learner(algorithm, "auto", envs, kwargs, seed=seed, device="cpu")
    learner.start_run(budget, gradient_order=0)
    ends = []
    while True:
        phase = learner.environment_phase()
        ends += [(learner.num_timesteps, episode_return) for episode_return in phase.episode_returns]
        while not learner.update_phase_finished:
            learner.policy_update(learner.default_values())
        if learner.num_timesteps >= budget:
            break
    if settings.normalize:
        envs.training = envs.norm_reward = False
    score, _ = evaluate_policy(learner, envs, n_eval_episodes=20, warn=False)
    envs.close()
    return *np.array(ends).T, score


def main() -> None:
    """Trains, prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(AIMS), nargs="*", default=list(AIMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--env-steps", type=int)
    parser.add_argument("--vec-backend", default="gymnasium")
    parser.add_argument("--out", type=Path, default=Path("runs/acktr"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for task in arguments.task:
        budget, aim = AIMS[task]
        budget = arguments.env_steps or budget
        figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
        for algorithm, colour in (("ACKTR", "C0"), ("A2C", "C1"))[: 1 if aim else 2]:
            for seed in range(arguments.seeds):
                steps, returns, score = train(algorithm, task, seed, budget, arguments.vec_backend)
                window = min(EPISODES, len(returns))
                smooth = np.convolve(returns, np.ones(window) / window, "valid")
                axes.plot(steps[window - 1 :], smooth, colour, label=None if seed else algorithm)
                print(
                    f"{algorithm} on {task}, {budget:,} steps, seed {seed}: last {window} episodes "
                    f"{smooth[-1]:,.1f}, best {smooth.max():,.1f}, without exploration {score:,.1f}"
                    + (f" (aim {aim:g})" if aim else ""),
                    flush=True,
                )
        axes.set(title=task, xlabel="environment steps", ylabel=f"mean return of {EPISODES} episodes")
        if aim:
            axes.axhline(aim, color="grey", linestyle=":")
        axes.legend()
        figure.savefig(arguments.out / f"{task}.png", dpi=120)


if __name__ == "__main__":
    main()
