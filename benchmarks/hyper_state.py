"""The hyper-state's size, and its cost beside an update, on an MLP and on the Nature CNN."""

from __future__ import annotations

from benchmarks.envs import hyper_rl
from benchmarks.tables import Table, duration, median, percent, spread
from benchmarks.timing import divided, interleaved, ratios
from hyperrl_env import HyperRLEnv
from hyperrl_env.learners import InnerLearner

UPDATES = 16
BATCH_SIZE = 64


def table(quick: bool = False) -> Table:
    """A row per network."""
    rows = []
    for network, task in (("two hidden layers of 64", "HalfCheetah"), ("Nature CNN", "Breakout"))[
        : 1 if quick else 2
    ]:
        env = hyper_rl(
            f"HyperRL-PPO-{task}-v0",
            n_envs=1,
            # One long update phase, which no call leaves.
            learner_kwargs={"n_steps": 16 * BATCH_SIZE, "batch_size": BATCH_SIZE, "n_epochs": 1_000},
        )
        obs, _ = env.reset(seed=0)
        learner = env.learner

        def update(learner: InnerLearner = learner) -> None:
            for _ in range(UPDATES):
                learner.policy_update(learner.default_values())

        def observation(env: HyperRLEnv = env) -> None:
            for _ in range(UPDATES):
                env._observation()

        times = interleaved({"update": update, "observation": observation}, repetitions=2 if quick else 9)
        rows.append(
            [
                f"{network} ({task})",
                f"{obs.size:,}",
                *(median(divided(seconds, UPDATES), duration) for seconds in times.values()),
                spread(ratios(times["observation"], times["update"]), percent),
            ]
        )
        env.close()
    return Table(
        "Hyper-state",
        "Its length, and the time of an observation beside that of a PPO update, fast, on a minibatch of "
        f"{BATCH_SIZE}.",
        ["network", "numbers", "update", "observation", "observation / update"],
        rows,
    )
