"""How well near keys promise similar hyper-returns, over embeddings and their widths.

Runs of random search are recorded: the raw tensors behind the hyper-states, as often as an agent writes one.
Every embedding then sees the same recording as an agent would have: statistics and training at the end of
each learning episode, keys as stored then. For every stored key take the `NEIGHBOURS` nearest keys of other
learning episodes, and the difference between its hyper-return, as a rank, and their mean; divide the mean
difference by the same with returns shuffled between episodes. 1: neighbours are worth no more than strangers.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import pairwise_distances

import agents
from agents.base import Observation
from agents.episodic import VAEEmbedding
from agents.random import RandomAgent
from benchmarks.envs import hyper_rl
from benchmarks.tables import Table
from benchmarks.timing import one_thread
from hyperrl_env import HyperRLEnv
from hyperrl_env.hyper_state import HyperStateProjector

NEIGHBOURS, SHUFFLES = 3, 100
TRAIN_PROBABILITY = agents.keywords("epgt")["vae_probability"]


@dataclass(frozen=True)
class Recording:
    """A run to make.

    Attributes:
        env_id: The Hyper-RL.
        env_steps: Its budget.
        write_interval: A hyper-state is recorded every so many updates.
    """

    env_id: str
    env_steps: int
    write_interval: int


TASKS = {
    "HalfCheetah": Recording("HyperRL-PPO-HalfCheetah-v0", 102_400, 20),
    "Hopper": Recording("HyperRL-PPO-Hopper-v0", 102_400, 20),
    "MountainCarContinuous": Recording("HyperRL-A2C-MountainCarContinuous-v0", 8_000, 1),
}
QUICK = {"CartPole": Recording("HyperRL-A2C-CartPole-v0", 1_600, 1)}
WIDEST = "D/4"
WIDTHS: Mapping[str, int | None] = {**{f"{n}": n for n in (16, 32, 64, 128, 256)}, WIDEST: None}
# Whether C is trained, by the agent's name for the embedding.
EMBEDDINGS = ("paper", "vae")
# Which neighbours count: those of other episodes, and of these the ones a tenth of the run away, since
# weights and returns both drift.
NEAR, FAR = "any time", "far in time"
# (key, embedding): by NEAR and FAR.
Found = dict[tuple[str, str], dict[str, float]]


def table(quick: bool = False) -> Table:
    """A row per task and kind of key, then the mean over the tasks."""
    tasks, seeds = (QUICK, 2) if quick else (TASKS, 5)
    jobs = [(tasks[task], seed) for task in tasks for seed in range(seeds)]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), one_thread) as pool:
        found = pool.starmap(study, jobs, chunksize=1)
    by_task = {task: found[i * seeds : (i + 1) * seeds] for i, task in enumerate(tasks)}
    by_task["mean"] = [mean_of(runs) for runs in zip(*by_task.values(), strict=True)]
    rows = []
    for task, runs in by_task.items():
        for key in dict.fromkeys(key for key, _ in runs[0]):
            cells = [cell(runs, key, name, which) for which in (NEAR, FAR) for name in EMBEDDINGS]
            rows.append([task, key, *cells])
    return Table(
        "Key quality",
        f"How far a key's hyper-return, as a rank, is from the mean of its {NEIGHBOURS} nearest keys of "
        "other learning episodes, over the same with returns shuffled between episodes: 0 is a perfect "
        "guess, 1 a stranger's. By the width of the autoencoder's hidden layers (D/4: a quarter of the "
        'hyper-state\'s), with the projection C trained (`embedding="paper"`) or as it starts (`"vae"`). '
        '"random" is `embedding="random"`; "time" takes the nearest in time. Far in time: only neighbours at '
        f"least a tenth of the run away. Means of {seeds} seeds; in brackets the paired difference to the "
        "paper's key, D/4 with C trained, and its standard error.",
        [
            "task",
            "width",
            *(f"{which}, C {how}" for which in (NEAR, FAR) for how in ("trained", "as it starts")),
        ],
        rows,
    )


def mean_of(runs: Sequence[Found]) -> Found:
    """The mean over the tasks."""
    return {
        kind: {which: statistics.fmean(found[kind][which] for found in runs) for which in of_kind}
        for kind, of_kind in runs[0].items()
    }


def cell(runs: Sequence[Found], key: str, embedding: str, which: str) -> str:
    """Mean over the runs, and the paired difference to the widest with C trained; empty if not measured."""
    if (key, embedding) not in runs[0] or which not in runs[0][key, embedding]:
        return ""
    values = np.array([found[key, embedding][which] for found in runs])
    if (key, embedding) == (WIDEST, "paper"):
        return f"{values.mean():.2f}"
    difference = values - [found[WIDEST, "paper"][which] for found in runs]
    error = difference.std(ddof=1) / len(runs) ** 0.5
    return f"{values.mean():.2f} ({difference.mean():+.2f} ± {error:.2f})"


@dataclass(frozen=True)
class State:
    """A recorded hyper-state, which an embedding looks at as it does at an environment."""

    obs: Observation
    tensors: list[torch.Tensor]

    def hyper_state_tensors(self) -> list[torch.Tensor]:
        """See `HyperRLEnv.hyper_state_tensors`."""
        return self.tensors

    def hyper_state(self, projector: HyperStateProjector) -> Observation:
        """See `HyperRLEnv.hyper_state`."""
        return projector.observation([matrix.numpy() for matrix in self.tensors], float(self.obs[-1]))


@dataclass(frozen=True)
class Episode:
    """What is recorded of a learning episode: its hyper-states, its return, environment steps at its end."""

    states: list[State]
    hyper_return: float
    env_steps: int


class Recorder(RandomAgent):
    """Random search that keeps a hyper-state every `write_interval` updates, and each episode's return."""

    def __init__(self, env: gym.Env[Any, Any], seed: int, write_interval: int) -> None:
        super().__init__(env, seed)
        self.episodes: list[Episode] = []
        self._write_interval = write_interval
        self._begin_episode()

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """Looks at the hyper-state, then draws an action."""
        if self._step % self._write_interval == 0:
            self._states.append(State(obs, self.env.hyper_state_tensors()))
        self._step += 1
        return super().act(obs, info)

    def observe(
        self,
        obs: Observation,
        action: Any,
        reward: float,
        next_obs: Observation,
        terminated: bool,
        truncated: bool,
        info: Mapping[str, Any],
    ) -> None:
        """Keeps an episode that has ended."""
        if terminated:
            self.episodes.append(Episode(self._states, reward, info["env_steps"]))
        if terminated or truncated:
            self._begin_episode()

    def _begin_episode(self) -> None:
        self._states: list[State] = []
        self._step = 0


def study(task: Recording, seed: int) -> Found:
    """What every kind of key is worth in one run."""
    env = hyper_rl(task.env_id, total_env_steps=task.env_steps)
    recorder = Recorder(env, seed, task.write_interval)
    agents.run(env, recorder, seed=seed)
    episodes = recorder.episodes
    lengths = [len(episode.states) for episode in episodes]
    number = np.repeat(np.arange(len(episodes)), lengths)
    returns = np.array([episode.hyper_return for episode in episodes])
    steps = np.repeat([episode.env_steps for episode in episodes], lengths)
    apart = np.abs(steps[:, None] - steps)
    allowed = {NEAR: number[:, None] != number, FAR: apart > np.ptp(steps) / 10}

    def quality(distances: NDArray[Any], which: str) -> float:
        measure, rng = difference(distances, allowed[which]), np.random.default_rng(0)
        shuffled = [measure(rankdata(rng.permutation(returns)[number])) for _ in range(SHUFFLES)]
        return measure(rankdata(returns[number])) / float(np.mean(shuffled))

    kinds: dict[tuple[str, str], dict[str, Any]] = {("random", "vae"): {"embedding": "random"}}
    for name in EMBEDDINGS:
        for label, width in WIDTHS.items():
            # The agent's own width under "paper" is D/4.
            hidden = env.projector.state_size // 4 if width is None else width
            kinds[label, name] = {"embedding": name, "vae_hidden": hidden}
    found: Found = {}
    for kind, keywords in kinds.items():
        agent = agents.EpisodicControlAgent(env, seed, **keywords)
        distances = pairwise_distances(stored_keys(agent, episodes, TRAIN_PROBABILITY))
        found[kind] = {which: quality(distances, which) for which in (NEAR, FAR)}
    env.close()
    # Of equally distant ones any.
    ties = np.random.default_rng(0).uniform(0, 0.5, apart.shape)
    found["time", "vae"] = {NEAR: quality(apart + ties, NEAR)}
    return found


def stored_keys(
    agent: agents.EpisodicControlAgent, episodes: Sequence[Episode], train_probability: float
) -> NDArray[np.float32]:
    """The keys as the agent would have stored them, episode after episode."""
    embedding, keys = agent.embedding, []
    for episode in episodes:
        seen = [(cast(HyperRLEnv, state), state.obs) for state in episode.states]
        observations = np.stack([embedding.hyper_state(*state) for state in seen])
        if isinstance(embedding, VAEEmbedding):
            for (state, _), observation in zip(seen, observations, strict=True):
                embedding.remember(state, observation)
        embedding.update_statistics(observations)
        if isinstance(embedding, VAEEmbedding) and agent.rng.random() < train_probability:
            embedding.train_step()
        keys.append(embedding.keys(observations))
    return np.concatenate(keys)


def difference(distances: NDArray[Any], allowed: NDArray[np.bool_]) -> Callable[[NDArray[Any]], float]:
    """The function of the values G that gives the mean |G - mean G of the nearest allowed|."""
    nearest = np.argpartition(np.where(allowed, distances, np.inf), NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return lambda value: float(np.abs(value - value[nearest].mean(axis=1)).mean())
