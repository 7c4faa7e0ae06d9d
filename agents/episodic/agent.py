"""Episodic control of the Hyper-RL: Algorithm 1 of Le et al., AAAI 2022 (EPGT)."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import HyperAgent, Observation
from agents.episodic.embedding import Embedding, ProjectionEmbedding, RandomEmbedding, VAEEmbedding
from agents.episodic.memory import EpisodicMemory
from hyperrl_env.checks import check_at_least, check_fraction, check_positive

EmbeddingName = Literal["vae", "paper", "random"]
# Width of the VAE: the narrowest that tells near values as well as one of D/4 (`benchmarks/`).
_HIDDEN = 64

# (capacity N_mem, write interval) by the family of the task, from the paper's released code.
_FAMILY_SETTINGS = {
    "mujoco": (10_000, 20),
    "box2d": (5_000, 10),
    "classic": (5_000, 10),
    "atari": (5_000, 30),
}


def hyper_returns(rewards: list[float]) -> NDArray[np.float64]:
    """G_i = sum of the rewards from step i to the end of the learning episode, undiscounted.

    Example:
        >>> hyper_returns([0.0, 0.0, 5.0]).tolist()
        [5.0, 5.0, 5.0]
    """
    return np.cumsum(np.asarray(rewards, dtype=np.float64)[::-1])[::-1]


def linear_epsilon(start: float, end: float, progress: float, fraction: float) -> float:
    """Falls linearly from `start` to `end` over the first `fraction` of the progress, then stays.

    Example:
        >>> [linear_epsilon(1.0, 0.0, progress, fraction=0.5) for progress in (0.0, 0.25, 0.5, 1.0)]
        [1.0, 0.5, 0.0, 0.0]
    """
    return start + (end - start) * min(progress / fraction, 1.0)


class EpisodicControlAgent(HyperAgent):
    """Picks the hyper-action whose outcome was best in similar training states.

    A memory binds (phi(s), a), an embedding of the hyper-state and the joint hyper-action, to the
    hyper-return that followed. Reading averages over the nearest neighbours (Eq. 3), writing moves
    several neighbours towards the new return (Eq. 4).

    It learns at the end of a learning episode. If `learning_episode_phases` makes the whole run one
    episode, the agent has nothing to choose by, and a warning says so. It may be kept for several runs:
    memory and embedding then stay, and exploration starts again. An episode that is left in its middle
    is not written.

    Args:
        env: A Hyper-RL environment of any action mode; actions are the joint choices of bins.
        seed: Seeds exploration and the embedding.
        capacity: N_mem. Default: 10,000 on MuJoCo and generic ids, 5,000 on others.
        k_read: Neighbours per action that reading averages over.
        k_write: Neighbours that a write moves.
        beta: Writing rate.
        rule: "average" (Eq. 4) or "max" (the best return is kept).
        kernel_delta: Of the similarity 1 / (squared distance + delta).
        embedding: phi. "vae": a variational autoencoder that learns online. "paper": the same, a quarter
            as wide as the hyper-state is long, and C is trained with it. "random": a fixed random projection.
        key_dim: Length of the keys.
        epsilon_start: Exploration rate at the start of the run.
        epsilon_end: Exploration rate from `epsilon_fraction` of the budget on.
        epsilon_fraction: See `epsilon_end`.
        write_interval: Every so many steps of a learning episode, from its first, are written, and
            its last. Default: 20 on MuJoCo and generic ids, 10 on Box2D and classic tasks, 30 on Atari.
        vae_hidden: Width of the VAE's hidden layers. Default: 64; with "paper" D/4.
        vae_probability: Probability, per learning episode, of a training step of the VAE.
        vae_batch_size: Hyper-states per training step.
        vae_learning_rate: Adam's.
        vae_buffer_size: Hyper-states that are kept to train on.

    Attributes:
        memory: The `EpisodicMemory`.
        embedding: phi.
        epsilon: The exploration rate in force.

    Raises:
        ValueError: An argument out of range; the message says what would be right.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        seed: int = 0,
        *,
        capacity: int | None = None,
        k_read: int = 3,
        k_write: int = 3,
        beta: float = 0.5,
        rule: Literal["average", "max"] = "average",
        kernel_delta: float = 1e-3,
        embedding: EmbeddingName = "vae",
        key_dim: int = 32,
        epsilon_start: float = 1.0,
        epsilon_end: float = 0.01,
        epsilon_fraction: float = 0.5,
        write_interval: int | None = None,
        vae_hidden: int | None = None,
        vae_probability: float = 0.1,
        vae_batch_size: int = 8,
        vae_learning_rate: float = 1e-3,
        vae_buffer_size: int = 32,
    ) -> None:
        super().__init__(env, seed)
        family_capacity, family_interval = _FAMILY_SETTINGS.get(self.env.family, _FAMILY_SETTINGS["mujoco"])
        capacity = family_capacity if capacity is None else capacity
        write_interval = family_interval if write_interval is None else write_interval
        projector = self.env.projector
        if vae_hidden is None:
            vae_hidden = max(projector.state_size // 4, 1) if embedding == "paper" else _HIDDEN
        for name, count in (
            *(("capacity", capacity), ("k_read", k_read), ("k_write", k_write), ("key_dim", key_dim)),
            *(("write_interval", write_interval), ("vae_hidden", vae_hidden)),
            *(("vae_batch_size", vae_batch_size), ("vae_buffer_size", vae_buffer_size)),
        ):
            check_at_least(name, count, 1)
        if vae_batch_size > vae_buffer_size:
            raise ValueError(
                f"vae_batch_size must be at most vae_buffer_size, not {vae_batch_size} of {vae_buffer_size}."
            )
        check_fraction("epsilon_start", epsilon_start)
        check_fraction("epsilon_end", epsilon_end)
        check_fraction("epsilon_fraction", epsilon_fraction, above_0=True)
        check_fraction("beta", beta, above_0=True)
        check_fraction("vae_probability", vae_probability)
        check_positive("kernel_delta", kernel_delta)
        check_positive("vae_learning_rate", vae_learning_rate)
        if embedding not in get_args(EmbeddingName):
            raise ValueError(f"Unknown embedding {embedding!r}: give one of {list(get_args(EmbeddingName))}.")
        self._warn_of_random_search()
        self.memory = EpisodicMemory(
            key_dim,
            self.search_space.n_actions,
            capacity=capacity,
            k_read=k_read,
            k_write=k_write,
            beta=beta,
            rule=rule,
            delta=kernel_delta,
        )
        vae: dict[str, Any] = {
            "hidden": vae_hidden,
            "learning_rate": vae_learning_rate,
            "batch_size": vae_batch_size,
            "buffer_size": vae_buffer_size,
            "seed": seed,
        }
        self.embedding: Embedding
        if embedding == "vae":
            self.embedding = VAEEmbedding(projector.state_size, key_dim, **vae)
        elif embedding == "paper":
            self.embedding = ProjectionEmbedding(copy.deepcopy(projector), key_dim, **vae)
        else:
            self.embedding = RandomEmbedding(projector.state_size, key_dim, seed=seed)
        self._epsilon = (float(epsilon_start), float(epsilon_end), float(epsilon_fraction))
        self.epsilon = self._epsilon[0]
        self._write_interval = write_interval
        self._vae_probability = vae_probability
        self._next_obs: Observation = np.empty(0, np.float32)
        self._begin_episode()

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`. Epsilon-greedy over the actions that the memory knows (line 5)."""
        if self._rewards and not np.array_equal(self._next_obs, obs):
            # The episode was left in its middle, for a new run or another state, so it has no return.
            self._begin_episode()
        self._state = self.embedding.hyper_state(self.env, obs)
        start, end, fraction = self._epsilon
        self.epsilon = linear_epsilon(start, end, info["env_steps"] / self.env.total_env_steps, fraction)
        if self._is_written(len(self._rewards)) and isinstance(self.embedding, VAEEmbedding):
            self.embedding.remember(self.env, self._state)
        if self.rng.random() >= self.epsilon:
            q = self.memory.read(self.embedding.keys(self._state[None])[0])
            best = np.flatnonzero(q == np.fmax.reduce(q))  # none where the memory knows no action
            if len(best):
                return self.search_space.joint_action(best[self.rng.integers(len(best))])
        return self.search_space.joint_action(self.rng.integers(self.search_space.n_actions))

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
        """See `HyperAgent.observe`. Fills the buffer D (line 7); at the episode's end M.update(D)."""
        step = len(self._rewards)
        if self._is_written(step) or terminated:
            self._buffer.append((step, self._state, self.search_space.joint_index(action)))
        self._rewards.append(reward)
        self._next_obs = next_obs.copy()
        if terminated:
            self._end_episode()
        if terminated or truncated:
            # An episode that the budget cut short has no return, so there is nothing to remember.
            self._begin_episode()

    def _warn_of_random_search(self) -> None:
        phases, phases_per_run = self.env.learning_episode_phases, self.env.phases_per_run
        if phases is None or phases >= phases_per_run > 1:
            warnings.warn(
                f"With learning_episode_phases={phases} no learning episode ends before the run of "
                f"{phases_per_run} update phases does, and episodic control learns when one ends. The run is "
                "random search, unless the agent has a memory of earlier runs. Give "
                "learning_episode_phases=1, the paper's, or another small number.",
                stacklevel=4,
            )

    def _is_written(self, step: int) -> bool:
        return step % self._write_interval == 0

    def _begin_episode(self) -> None:
        self._buffer: list[tuple[int, Observation, int]] = []
        self._rewards: list[float] = []

    def _end_episode(self) -> None:
        """M.update(D) (line 10), with the embedding that the next episode will read with."""
        observations = np.stack([obs for _, obs, _ in self._buffer])
        self.embedding.update_statistics(observations)
        if isinstance(self.embedding, VAEEmbedding) and self.rng.random() < self._vae_probability:
            self.embedding.train_step()
        returns = hyper_returns(self._rewards)
        for key, (step, _, action) in zip(self.embedding.keys(observations), self._buffer, strict=True):
            self.memory.write(key, action, returns[step])

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        return {
            **super().state_dict(),
            "memory": self.memory.state_dict(),
            "embedding": self.embedding.state_dict(),
            "epsilon": self.epsilon,
            "buffer": [{"step": step, "obs": obs, "action": action} for step, obs, action in self._buffer],
            "rewards": list(self._rewards),
            "next_obs": self._next_obs,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self.memory.load_state_dict(state["memory"])
        self.embedding.load_state_dict(state["embedding"])
        self.epsilon = state["epsilon"]
        self._buffer = [(item["step"], item["obs"], item["action"]) for item in state["buffer"]]
        self._rewards = list(state["rewards"])
        self._next_obs = state["next_obs"]
