"""Memory keys: embeddings phi of the hyper-state.

The VAE learns the projection C (Eq. 2), encoder and decoder together, online, by reconstructing
standardised hyper-states (Le et al., AAAI 2022, "Learning to represent hyper-state and memory key";
Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, for the evidence lower bound).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.running_mean_std import RunningMeanStd
from torch import Tensor, nn

from hyperrl_env.hyper_state import HyperStateProjector
from hyperrl_env.randomness import RandomState

# Standardised features are clipped here, as VecNormalize does: a feature that has hardly moved yet
# has a spread near 0, and its first move would otherwise drown all others.
CLIP = 10.0


class Embedding(ABC):
    """Standardises hyper-states and maps them to keys.

    Weights are about 1e-1 and gradients about 1e-3; without standardisation distances between
    keys would not see the gradients.

    Args:
        state_size: D, the hyper-state's length.
        key_dim: The key's length.
    """

    def __init__(self, state_size: int, key_dim: int) -> None:
        self.key_dim = key_dim
        self._statistics = RunningMeanStd(shape=(state_size,))
        self._set_scale()

    def update_statistics(self, observations: NDArray[np.float32]) -> None:
        """Takes hyper-states (B, D) into the running mean and spread."""
        self._statistics.update(observations)
        self._set_scale()

    def _set_scale(self) -> None:
        self._mean = self._statistics.mean.astype(np.float32)
        self._spread = np.sqrt(self._statistics.var + 1e-8).astype(np.float32)

    def standardise(self, states: Tensor) -> Tensor:
        """Zero mean and unit spread per feature, clipped; (..., D) to (..., D), differentiable."""
        mean, spread = torch.from_numpy(self._mean), torch.from_numpy(self._spread)
        return torch.clamp((states - mean) / spread, -CLIP, CLIP)

    def keys(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Keys (B, key_dim) of hyper-states (B, D)."""
        return self._embed(np.clip((observations - self._mean) / self._spread, -CLIP, CLIP))

    @abstractmethod
    def _embed(self, standardised: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps standardised hyper-states (B, D) to keys (B, key_dim)."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that keys depend on."""
        s = self._statistics
        return {"mean": s.mean.copy(), "var": s.var.copy(), "count": float(s.count)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        s = self._statistics
        s.mean, s.var, s.count = state["mean"].copy(), state["var"].copy(), state["count"]
        self._set_scale()


class RandomEmbedding(Embedding):
    """A fixed random linear map, which keeps distances in expectation."""

    def __init__(self, state_size: int, key_dim: int, *, seed: int) -> None:
        super().__init__(state_size, key_dim)
        generator = torch.Generator().manual_seed(seed)
        self._map = (torch.randn(state_size, key_dim, generator=generator) / key_dim**0.5).numpy()

    def _embed(self, standardised: NDArray[np.float32]) -> NDArray[np.float32]:
        keys: NDArray[np.float32] = standardised @ self._map
        return keys


def evidence_lower_bound(target: Tensor, reconstruction: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """ELBO of a VAE with unit-variance Gaussian likelihood and standard normal prior, up to a constant.

    Args:
        target: (B, D).
        reconstruction: (B, D).
        mean: Of the approximate posterior, (B, K).
        log_var: Its log-variance, (B, K).

    Returns:
        The mean over the batch of log p(x | z) - KL(q(z | x) || N(0, 1)), a scalar.
    """
    log_likelihood = -0.5 * (target - reconstruction).square().sum(-1)
    kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(-1)
    return (log_likelihood - kl).mean()


class VAE(nn.Module):
    """Encoder D -> hidden -> 2K, decoder mirrored, tanh between.

    Args:
        state_size: D.
        latent_dim: K.
        hidden: Width of the hidden layer.
    """

    def __init__(self, state_size: int, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(state_size, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent_dim)
        )
        self.decoder = nn.Sequential(nn.Linear(latent_dim, hidden), nn.Tanh(), nn.Linear(hidden, state_size))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (..., K) each, of the approximate posterior of x, (..., D)."""
        mean, log_var = self.encoder(x).chunk(2, dim=-1)
        return mean, log_var


class VAEEmbedding(Embedding):
    """The posterior mean of a VAE that is trained while the run goes on, and C with it.

    Args:
        projector: The environment's projector, whose C is trained too.
        key_dim: The latent dimension.
        hidden: Width of the encoder's hidden layer and of the decoder's.
        learning_rate: Adam's.
        batch_size: Hyper-states per training step.
        buffer_size: How many of the latest raw hyper-states are kept to train on.
        seed: Seeds weights, batches and noise.
    """

    def __init__(
        self,
        projector: HyperStateProjector,
        key_dim: int,
        *,
        hidden: int,
        learning_rate: float,
        batch_size: int,
        buffer_size: int,
        seed: int,
    ) -> None:
        super().__init__(projector.state_size, key_dim)
        self.projector = projector
        self.batch_size = batch_size
        with RandomState(seed).swapped_in():
            self.vae = VAE(projector.state_size, key_dim, hidden)
        # The way to the posterior's mean, in memory that Torch trains: NumPy multiplies one vector by
        # the large first matrix in half of Torch's time.
        w1, b1, w2, b2 = (parameter.numpy(force=True) for parameter in self.vae.encoder.parameters())
        self._encoder = w1, b1, w2[:key_dim], b2[:key_dim]
        self._generator = torch.Generator().manual_seed(seed)
        parameters = [*self.vae.parameters(), *projector.parameters()]
        self._optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
        self._buffer: deque[tuple[list[Tensor], float]] = deque(maxlen=buffer_size)

    def remember(self, matrices: list[Tensor], position: float) -> None:
        """Keeps the raw tensors behind a hyper-state (`hyper_state_tensors`) to train on."""
        self._buffer.append((matrices, position))

    def _embed(self, standardised: NDArray[np.float32]) -> NDArray[np.float32]:
        w1, b1, w2, b2 = self._encoder
        mean: NDArray[np.float32] = np.tanh(standardised @ w1.T + b1) @ w2.T + b2
        return mean

    def train_step(self) -> float | None:
        """One Adam step on a batch of remembered hyper-states, C included.

        Returns:
            The mean squared reconstruction error per standardised feature before the step; None
            where fewer than `batch_size` hyper-states are remembered.
        """
        if len(self._buffer) < self.batch_size:
            return None
        chosen = torch.randperm(len(self._buffer), generator=self._generator)[: self.batch_size]
        batch = [self._buffer[int(i)] for i in chosen]
        matrices = [torch.stack(column) for column in zip(*(m for m, _ in batch), strict=True)]
        positions = torch.tensor([[position] for _, position in batch])
        x = self.standardise(self.projector(matrices, positions))
        mean, log_var = self.vae.encode(x)
        noise = torch.randn(mean.shape, generator=self._generator)
        reconstruction = self.vae.decoder(mean + noise * (0.5 * log_var).exp())
        # The target is detached: C is to serve the code, not to make itself easy to reconstruct.
        target = x.detach()
        self._optimizer.zero_grad()
        (-evidence_lower_bound(target, reconstruction, mean, log_var)).backward()
        self._optimizer.step()
        return float((target - reconstruction.detach()).square().mean())

    def state_dict(self) -> dict[str, Any]:
        """Everything that keys and further training depend on, C included; a copy."""
        trained = {
            "vae": self.vae.state_dict(),
            "projector": self.projector.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        return {
            **super().state_dict(),
            # Torch hands out the live tensors, which further training writes to.
            **copy.deepcopy(trained),
            "generator": self._generator.get_state(),
            "buffer": [{"matrices": list(m), "position": p} for m, p in self._buffer],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave; C of the environment's projector too."""
        super().load_state_dict(state)
        self.vae.load_state_dict(state["vae"])
        self.projector.load_state_dict(state["projector"])
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self._generator.set_state(state["generator"])
        self._buffer.clear()
        self._buffer.extend((list(item["matrices"]), float(item["position"])) for item in state["buffer"])
