"""Episodic control of the Hyper-RL: Algorithm 1 of Le et al., AAAI 2022 (EPGT).

| line | step                                                        | method                              |
|------|-------------------------------------------------------------|-------------------------------------|
| 1    | M = {}                                                      | `__init__`: `memory`                |
| 2    | for every learning episode                                  | `agents.run` (`agents/loop.py`)     |
| 3    | D = {}                                                      | `_begin_episode`: `_episode_buffer` |
| 4    | for every policy update i = 1 ... U                         | `agents.run`                        |
| 5    | phi(s_i)                                                    | `act`: `embedding.keys`             |
|      | Q(s_i, a) = M.read(phi(s_i), a) for every a (Eq. 3)         | `_best_actions`: `memory.read`      |
|      | a_i: epsilon-greedy in Q                                    | `act`                               |
| 6    | psi_i from a_i; theta <- PG_psi_i(pi_theta, G)              | `env.step`                          |
| 7    | r_i (Eq. 1)                                                 | `env.step`                          |
|      | add (s_i, a_i, r_i) to D                                    | `observe`                           |
| 8    | if i = U: G = Agent(pi_theta)                               | `env.step`                          |
| 10   | M.update(D) (Eq. 4)                                         | `_update_memory`: `memory.write`    |

D is the `EpisodeBuffer`. It holds hyper-states s_i, (state_size,), and line 10 embeds them, so that the keys
written are those that the next episode reads with. The VAE's training set is another buffer, in `embedding`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import HyperAgent, Observation
from agents.episodic.carried import bin_changes, remember
from agents.episodic.embedding import EmbeddingName, NoEmbedding, VAEEmbedding, make_embedding
from agents.episodic.episode import EpisodeBuffer
from agents.episodic.memory import EpisodicMemory
from agents.experience import Experience
from agents.experience_file import load_experience, pinned
from agents.values import own_values
from hyperrl_env import DIAGNOSTICS
from hyperrl_env.checks import check_at_least, check_fraction, check_positive

# (capacity N_mem, write interval) by the family of the task, from the paper's released code.
_FAMILY_SETTINGS = {
    "mujoco": (10_000, 20),
    "box2d": (5_000, 10),
    "classic": (5_000, 10),
    "atari": (5_000, 30),
}


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
    hyper-return that followed. A read averages over the nearest neighbours (Eq. 3), a write moves several
    neighbours towards the new return (Eq. 4).

    The agent learns when a learning episode ends. If `learning_episode_phases` makes the whole run one
    episode, it has nothing to choose by, and a warning says so. An agent may be kept for several runs: it
    keeps memory and embedding, and exploration starts again. If an episode is abandoned, nothing of it is
    written.

    Args:
        env: A Hyper-RL environment of any action mode; actions are the joint choices of bins.
        seed: Seeds exploration and the embedding.
        capacity: N_mem. Default: 10,000 on MuJoCo and generic ids, 5,000 on others.
        k_read: Neighbours per action that a read averages over.
        k_write: Neighbours that a write moves.
        beta: Writing rate in (0, 1].
        rule: "average" (Eq. 4) or "max" (keeps the best return).
        kernel_delta: delta > 0 of the similarity 1 / (squared distance + delta).
        embedding: phi. "vae": a variational autoencoder that learns online. "paper": the same, a quarter
            as wide as the hyper-state is long, trained with C. "random": a fixed random projection. "none":
            the observation itself is the key; meant for `observation="diagnostics"`. Default: "vae", or
            "none" with `experience`.
        key_dim: Length of a key. Default: 32; for "none" that of the observation.
        epsilon_start: Exploration rate at the start of the run.
        epsilon_end: Exploration rate from `epsilon_fraction` of the budget on.
        epsilon_fraction: See `epsilon_end`.
        write_interval: Of a learning episode, the first step, every `write_interval`-th after it and the
            last are written. Default: 20 on MuJoCo and generic ids, 10 on Box2D and classic tasks, 30 on
            Atari.
        vae_hidden: Width of the VAE's hidden layers. Default: 64; for "paper" a quarter of the
            hyper-state's length.
        vae_probability: Probability, per learning episode, of a training step of the VAE.
        vae_batch_size: Hyper-states per training step.
        vae_learning_rate: Adam's.
        vae_buffer_size: Number of the latest hyper-states that are kept to train on.
        experience: A file of earlier runs, as `hyperrl experience build` writes it, whose memory is carried
            into this run (`agents.episodic.carried`). The run itself is not written to it: its outcome is not
            known before it ends, and is added by building the file anew. Needs `observation="diagnostics"`.
        experience_sha256: The SHA-256 that the file must have; the command line and studies fill it in.

    Attributes:
        memory: M, the `EpisodicMemory`.
        embedding: phi.
        epsilon: The current exploration rate.

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
        embedding: EmbeddingName | None = None,
        key_dim: int | None = None,
        epsilon_start: float = 1.0,
        epsilon_end: float = 0.01,
        epsilon_fraction: float = 0.5,
        write_interval: int | None = None,
        vae_hidden: int | None = None,
        vae_probability: float = 0.1,
        vae_batch_size: int = 8,
        vae_learning_rate: float = 1e-3,
        vae_buffer_size: int = 32,
        experience: str | None = None,
        experience_sha256: str | None = None,
    ) -> None:
        super().__init__(env, seed)
        family_settings = _FAMILY_SETTINGS.get(self.env.family, _FAMILY_SETTINGS["mujoco"])
        capacity = family_settings[0] if capacity is None else capacity
        write_interval = family_settings[1] if write_interval is None else write_interval
        _check_counts(capacity=capacity, k_read=k_read, k_write=k_write, write_interval=write_interval)
        _check_counts(key_dim=1 if key_dim is None else key_dim)
        _check_counts(vae_hidden=1 if vae_hidden is None else vae_hidden)
        _check_counts(vae_batch_size=vae_batch_size, vae_buffer_size=vae_buffer_size)
        _check_fractions(epsilon_start=epsilon_start, epsilon_end=epsilon_end)
        _check_fractions(vae_probability=vae_probability)
        _check_fractions(above_0=True, epsilon_fraction=epsilon_fraction, beta=beta)
        check_positive("kernel_delta", kernel_delta)
        check_positive("vae_learning_rate", vae_learning_rate)
        if vae_batch_size > vae_buffer_size:
            raise ValueError(
                f"vae_batch_size must be at most vae_buffer_size, not {vae_batch_size} of {vae_buffer_size}."
            )
        self._carried = experience is not None
        self.embedding = make_embedding(
            embedding or ("none" if self._carried else "vae"),
            self.env,
            key_dim,
            seed=seed,
            hidden=vae_hidden,
            learning_rate=vae_learning_rate,
            batch_size=vae_batch_size,
            buffer_size=vae_buffer_size,
        )
        self.memory = EpisodicMemory(
            self.embedding.key_dim,
            self.search_space.n_actions,
            capacity=capacity,
            k_read=k_read,
            k_write=k_write,
            beta=beta,
            rule=rule,
            delta=kernel_delta,
        )
        self._epsilon = (float(epsilon_start), float(epsilon_end), float(epsilon_fraction))
        self.epsilon = self._epsilon[0]
        self._write_interval = write_interval
        self._vae_probability = vae_probability
        if experience is not None:
            self._remember(load_experience(experience, experience_sha256))
        self._next_obs: Observation = np.empty(0, np.float32)
        self._begin_episode()
        self._warn_of_random_search()

    @classmethod
    def env_kwargs(cls, *, experience: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: with experience what its keys, actions and hyper-returns are."""
        if experience is None:
            return {}
        return {"observation": "diagnostics", "decision": "phase", "learning_episode_phases": None}

    @classmethod
    def recorded_kwargs(cls, *, experience: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.recorded_kwargs`: with the hash of the experience."""
        return kwargs if experience is None else pinned(experience, kwargs)

    @classmethod
    def check_algorithm(cls, algorithm: str, /, *, experience: str | None = None, **kwargs: Any) -> None:
        """See `HyperAgent.check_algorithm`: that of the experience, if there is one."""
        if experience is not None:
            load_experience(experience).check_algorithm(algorithm)

    def act(self, obs: Observation, info: Mapping[str, Any]) -> Any:
        """See `HyperAgent.act`. Epsilon-greedy over the actions that the memory knows (line 5)."""
        if self._episode_buffer.n_steps and not np.array_equal(self._next_obs, obs):
            # The episode was abandoned for a new run or another state, so it has no return.
            self._begin_episode()
        self._state = self.embedding.hyper_state(self.env, obs)
        if self._is_written():
            self.embedding.remember(self.env, self._state)
        start, end, fraction = self._epsilon
        self.epsilon = linear_epsilon(start, end, info["env_steps"] / self.env.total_env_steps, fraction)
        if self.rng.random() >= self.epsilon:
            best = self._best_actions(self._state)
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
        """See `HyperAgent.observe`. Adds the step to D (line 7); M.update(D) if it is the last (line 10)."""
        if self._is_written() or terminated:
            self._episode_buffer.keep(self._state, self.search_space.joint_index(action))
        self._episode_buffer.rewards.append(reward)
        self._next_obs = next_obs.copy()
        if terminated and not self._carried:
            self._update_memory()
        if terminated or truncated:
            # A truncated episode has no return, so nothing of it is written.
            self._begin_episode()

    def _begin_episode(self) -> None:
        """D = {} (line 3)."""
        self._episode_buffer = EpisodeBuffer()

    def _is_written(self) -> bool:
        """Whether the next step is one of every `write_interval`."""
        return self._episode_buffer.n_steps % self._write_interval == 0

    def _best_actions(self, state: Observation) -> NDArray[np.intp]:
        """The joint indices that maximise Q(s, a), (ties,), at a hyper-state s, (state_size,).

        Q(s, a) = M.read(phi(s), a) (Eq. 3), (n_actions,); none if the memory is empty.
        """
        q = self.memory.read(self.embedding.keys(state[None])[0])
        return np.flatnonzero(q == np.fmax.reduce(q))

    def _update_memory(self) -> None:
        """M.update(D) (line 10): writes (phi(s_i), a_i, G_i) of the steps kept (Eq. 4)."""
        kept = self._episode_buffer
        states = np.stack(kept.states)
        self.embedding.update_statistics(states)
        if isinstance(self.embedding, VAEEmbedding) and self.rng.random() < self._vae_probability:
            self.embedding.train_step()
        keys, returns = self.embedding.keys(states), kept.kept_returns()
        for key, action, hyper_return in zip(keys, kept.actions, returns, strict=True):
            self.memory.write(key, action, hyper_return)

    def _remember(self, experience: Experience) -> None:
        """Carries the memory of earlier runs into this one."""
        if self.memory.key_dim != len(DIAGNOSTICS) or not isinstance(self.embedding, NoEmbedding):
            raise ValueError(
                "A carried memory has the diagnostics as keys: make the environment with "
                'observation="diagnostics", and leave out embedding, or give "none".'
            )
        if self.env.decision != "phase":
            raise ValueError(
                "A carried memory knows what was held for whole update phases: make the environment with "
                'decision="phase".'
            )
        experience.check_algorithm(self.env.inner_run_config.algorithm)
        bins = bin_changes(self.search_space, own_values(self.env))
        remember(self.memory, experience, bins, self._write_interval)

    def _warn_of_random_search(self) -> None:
        if self._carried:
            return
        phases, phases_per_run = self.env.learning_episode_phases, self.env.phases_per_run
        if phases is None or phases >= phases_per_run > 1:
            warnings.warn(
                f"With learning_episode_phases={phases} the first learning episode ends no sooner than the "
                f"run of {phases_per_run} update phases, and episodic control learns only when one ends. The "
                "run is random search, unless the agent remembers earlier runs. Use "
                "learning_episode_phases=1, the paper's setting, or another small number.",
                stacklevel=4,
            )

    def state_dict(self) -> dict[str, Any]:
        """See `HyperAgent.state_dict`."""
        return {
            **super().state_dict(),
            "memory": self.memory.state_dict(),
            "embedding": self.embedding.state_dict(),
            "epsilon": self.epsilon,
            "episode_buffer": self._episode_buffer.state_dict(),
            "next_obs": self._next_obs,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `HyperAgent.load_state_dict`."""
        super().load_state_dict(state)
        self.memory.load_state_dict(state["memory"])
        self.embedding.load_state_dict(state["embedding"])
        self.epsilon = state["epsilon"]
        self._episode_buffer.load_state_dict(state["episode_buffer"])
        self._next_obs = state["next_obs"]


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        check_at_least(name, count, 1)


def _check_fractions(*, above_0: bool = False, **fractions: float) -> None:
    for name, fraction in fractions.items():
        check_fraction(name, fraction, above_0=above_0)
