"""Memory keys: embeddings phi of the hyper-state, or of what else the environment observes.

A VAE learns online to reconstruct standardised hyper-states; the paper trains the projection C (Eq. 2)
with it (Le et al., AAAI 2022, "Learning to represent hyper-state and memory key").
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from stable_baselines3.common.running_mean_std import RunningMeanStd
from torch import Tensor

from agents.episodic.vae import VAE
from hyperrl_env import HyperRLEnv
from hyperrl_env.checks import unknown
from hyperrl_env.hyper_state import HyperStateProjector
from hyperrl_env.numeric.arrays import Floats
from hyperrl_env.numeric.random_state import RandomState

# Standardised features are clipped, as VecNormalize does: a feature that has hardly moved yet has a
# spread near 0, and its first move would otherwise drown all others.
CLIP = 10.0

EmbeddingName = Literal["vae", "paper", "random", "none"]
# Length of a key that is not the observation itself.
_KEY_DIM = 32
# Width of the VAE: a compromise between the keys' worth and their cost (`docs/decisions/narrow-keys.md`).
_WIDTH = 64


class Embedding(ABC):
    """Standardises hyper-states and maps them to keys.

    Weights are about 1e-1 and gradients about 1e-3: without standardisation, distances between keys
    would ignore the gradients.

    Args:
        state_size: Length of a hyper-state.
        key_dim: Length of a key.
    """

    def __init__(self, state_size: int, key_dim: int) -> None:
        self.key_dim = key_dim
        self._statistics = RunningMeanStd(shape=(state_size,))
        self._set_scale()

    def update_statistics(self, observations: Floats) -> None:
        """Updates the running mean and spread with hyper-states (B, state_size)."""
        self._statistics.update(observations)
        self._set_scale()

    def _set_scale(self) -> None:
        self._mean = self._statistics.mean.astype(np.float32)
        self._spread = np.sqrt(self._statistics.var + 1e-8).astype(np.float32)

    def standardise(self, states: Floats) -> Floats:
        """(s - mean) / spread per feature, clipped; (B, state_size) from (B, state_size)."""
        standardised: Floats = states - self._mean
        standardised /= self._spread
        return standardised.clip(-CLIP, CLIP, out=standardised)

    def keys(self, observations: Floats) -> Floats:
        """The keys phi(s), (B, key_dim), of hyper-states s, (B, state_size)."""
        return self._embed(self.standardise(observations))

    def hyper_state(self, env: HyperRLEnv, obs: Floats) -> Floats:
        """The hyper-state s, (state_size,), that phi embeds: the environment's observation."""
        return obs

    def remember(self, env: HyperRLEnv, state: Floats) -> None:  # noqa: B027 - learning is optional
        """Keeps the environment's present hyper-state, (state_size,), to train on, if phi learns."""

    @abstractmethod
    def _embed(self, standardised: Floats) -> Floats:
        """Maps standardised hyper-states (B, state_size) to keys (B, key_dim)."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that keys depend on."""
        s = self._statistics
        return {"mean": s.mean.copy(), "var": s.var.copy(), "count": float(s.count)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a `state_dict`."""
        s = self._statistics
        s.mean, s.var, s.count = state["mean"].copy(), state["var"].copy(), state["count"]
        self._set_scale()


class RandomEmbedding(Embedding):
    """A fixed random linear map, which preserves distances in expectation.

    Args:
        state_size: See `Embedding`.
        key_dim: See `Embedding`.
        seed: Seeds the map.
    """

    def __init__(self, state_size: int, key_dim: int, *, seed: int) -> None:
        super().__init__(state_size, key_dim)
        generator = torch.Generator().manual_seed(seed)
        self._map = (torch.randn(state_size, key_dim, generator=generator) / key_dim**0.5).numpy()

    def _embed(self, standardised: Floats) -> Floats:
        keys: Floats = standardised @ self._map
        return keys


class NoEmbedding(Embedding):
    """The observation itself, not standardised: a key means the same in every run and for every task.

    It is meant for the diagnostics, whose numbers are all of one order of magnitude.

    Args:
        state_size: Length of an observation, and of a key.
    """

    def __init__(self, state_size: int) -> None:
        super().__init__(state_size, state_size)

    def standardise(self, states: Floats) -> Floats:
        """The observations as they are, (B, state_size)."""
        return states

    def _embed(self, standardised: Floats) -> Floats:
        return standardised


class VAEEmbedding(Embedding):
    """The posterior mean of a VAE that is trained on hyper-states during the run.

    Args:
        state_size: See `Embedding`.
        key_dim: The latent dimension.
        hidden: Width of the encoder's and the decoder's hidden layer.
        learning_rate: Adam's.
        batch_size: Hyper-states per training step.
        buffer_size: Number of the latest hyper-states that are kept to train on.
        seed: Seeds weights, batches and noise.
        also: Further parameters to train with the VAE.
    """

    def __init__(
        self,
        state_size: int,
        key_dim: int,
        *,
        hidden: int,
        learning_rate: float,
        batch_size: int,
        buffer_size: int,
        seed: int,
        also: Iterable[Tensor] = (),
    ) -> None:
        super().__init__(state_size, key_dim)
        self.batch_size = batch_size
        with RandomState(seed).swapped_in():
            self.vae = VAE(state_size, key_dim, hidden)
        self._generator = torch.Generator().manual_seed(seed)
        self._optimizer = torch.optim.Adam([*self.vae.parameters(), *also], lr=learning_rate, fused=True)
        self._training_set: deque[Any] = deque(maxlen=int(buffer_size))

    def remember(self, env: HyperRLEnv, state: Floats) -> None:
        """See `Embedding.remember`."""
        self._training_set.append(state.copy())

    def train_step(self) -> float | None:
        """Takes one Adam step on a batch of the hyper-states kept.

        Returns:
            The mean squared reconstruction error per standardised feature before the step; None if
            fewer than `batch_size` hyper-states are kept.
        """
        if len(self._training_set) < self.batch_size:
            return None
        chosen = torch.randperm(len(self._training_set), generator=self._generator)[: self.batch_size]
        batch = [self._training_set[int(i)] for i in chosen]
        x = self.standardise(self._states(batch))
        noise = torch.randn((len(x), self.key_dim), generator=self._generator).numpy()
        reconstruction, derivatives = self.vae.write_gradient(x, noise)
        self._write_further_gradients(batch, np.where(np.abs(x) < CLIP, derivatives / self._spread, 0))
        self._optimizer.step()
        return float(np.square(x - reconstruction).mean())

    def state_dict(self) -> dict[str, Any]:
        """Everything that keys and further training depend on, copied."""
        return {
            **super().state_dict(),
            # Torch hands out the live tensors, which further training writes to.
            "vae": copy.deepcopy(self.vae.state_dict()),
            "optimizer": copy.deepcopy(self._optimizer.state_dict()),
            "generator": self._generator.get_state(),
            "training_set": list(self._training_set),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a `state_dict`."""
        super().load_state_dict(state)
        self.vae.load_state_dict(state["vae"])
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self._generator.set_state(state["generator"])
        self._training_set.clear()
        self._training_set.extend(state["training_set"])

    def _embed(self, standardised: Floats) -> Floats:
        return self.vae.means(standardised)

    def _states(self, batch: Sequence[Any]) -> Floats:
        """The hyper-states of a batch, (B, state_size), not standardised."""
        return np.stack(batch)

    def _write_further_gradients(self, batch: Sequence[Any], derivatives: Floats) -> None:
        """Continues the gradient from the encoder's hyper-states; derivatives (B, state_size)."""


class ProjectionEmbedding(VAEEmbedding):
    """The paper's embedding: a VAE that is trained together with the projection C of Eq. 2.

    Args:
        projector: The projection C to train. Give a copy of the environment's: observations must not
            depend on what an agent has learned.
        key_dim: See `VAEEmbedding`.
        **vae: Further arguments of `VAEEmbedding`.
    """

    def __init__(self, projector: HyperStateProjector, key_dim: int, **vae: Any) -> None:
        super().__init__(projector.state_size, key_dim, also=projector.parameters(), **vae)
        self.projector = projector

    def hyper_state(self, env: HyperRLEnv, obs: Floats) -> Floats:
        """The hyper-state s, (state_size,), that phi embeds: Eq. 2 with the trained C."""
        return env.hyper_state(self.projector)

    def remember(self, env: HyperRLEnv, state: Floats) -> None:
        """Keeps the raw tensors behind the environment's present hyper-state to train on."""
        self._training_set.append({"matrices": env.hyper_state_tensors(), "position": float(state[-1])})

    def state_dict(self) -> dict[str, Any]:
        """Everything that keys and further training depend on, C included, copied."""
        return {**super().state_dict(), "projector": copy.deepcopy(self.projector.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a `state_dict`, C included."""
        super().load_state_dict(state)
        self.projector.load_state_dict(state["projector"])

    def _states(self, batch: Sequence[Any]) -> Floats:
        return np.stack(
            [
                self.projector.observation([m.numpy() for m in item["matrices"]], item["position"])
                for item in batch
            ]
        )

    def _write_further_gradients(self, batch: Sequence[Any], derivatives: Floats) -> None:
        # C must serve the key, not make itself easy to reconstruct: it learns through the encoder's
        # input alone.
        self.projector.write_gradient([[m.numpy() for m in item["matrices"]] for item in batch], derivatives)


def make_embedding(
    name: EmbeddingName,
    env: HyperRLEnv,
    key_dim: int | None,
    *,
    seed: int,
    hidden: int | None = None,
    **vae: Any,
) -> Embedding:
    """The embedding phi with this name.

    Args:
        name: "vae", "paper", "random" or "none".
        env: Whose observations are embedded. Its projector is copied if its C is trained.
        key_dim: Length of a key. Default: 32; for "none" the observation's.
        seed: Seeds the embedding.
        hidden: Width of the VAE. Default: 64; for "paper" a quarter of the hyper-state's length.
        **vae: Further arguments of `VAEEmbedding`.

    Raises:
        ValueError: An unknown name; "paper" where the observation is not the hyper-state; a length of keys
            for "none".
    """
    assert env.observation_space.shape is not None
    (state_size,) = env.observation_space.shape
    if name == "none":
        if key_dim not in (None, state_size):
            raise ValueError(
                f"embedding='none' makes keys as long as the observation, {state_size}, not {key_dim}: "
                "leave key_dim out."
            )
        return NoEmbedding(state_size)
    key_dim = _KEY_DIM if key_dim is None else key_dim
    if name == "random":
        return RandomEmbedding(state_size, key_dim, seed=seed)
    if name == "vae":
        return VAEEmbedding(state_size, key_dim, seed=seed, hidden=hidden or _WIDTH, **vae)
    if name == "paper":
        if state_size != env.projector.state_size:
            raise ValueError(
                "embedding='paper' trains the projection C of the hyper-state (Eq. 2), so it needs an "
                "environment with observation='hyper_state'. Other observations can be embedded by 'none', "
                "'vae' or 'random'."
            )
        width = hidden or max(state_size // 4, 1)
        projector = copy.deepcopy(env.projector)
        return ProjectionEmbedding(projector, key_dim, seed=seed, hidden=width, **vae)
    raise ValueError(unknown("embedding", name, get_args(EmbeddingName)))
