"""A variational autoencoder (Kingma and Welling, "Auto-Encoding Variational Bayes", 2014).

The likelihood is a Gaussian with unit variance, the prior a standard normal distribution. Batches are small
and layers have up to millions of weights, so the gradient is written out in NumPy.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hyperrl_env.numeric.arrays import Floats, SharedArrays
from hyperrl_env.numeric.layers import Layer, backward, forward


class VAE(nn.Module):
    """Encoder state_size -> hidden -> 2 latent_dim, decoder latent_dim -> hidden -> state_size; tanh between.

    The encoder returns the posterior's mean and log-variance, side by side.

    Args:
        state_size: Length of x.
        latent_dim: Length of z.
        hidden: Width of the hidden layers.

    Attributes:
        encoder: The layers from x to the posterior's mean and log-variance.
        decoder: The layers from z to the reconstruction.
    """

    def __init__(self, state_size: int, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(
            nn.Linear(state_size, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent_dim)
        )
        self.decoder = nn.Sequential(nn.Linear(latent_dim, hidden), nn.Tanh(), nn.Linear(hidden, state_size))
        self._arrays = SharedArrays(self.parameters())
        # Kept: new pages of memory would cost more than what is computed in them.
        self._gradients = [np.empty(tuple(p.shape), np.float32) for p in self.parameters()]

    def means(self, x: Floats) -> Floats:
        """The means of the posteriors q(z | x), (B, latent_dim), of x, (B, state_size)."""
        w1, b1, w2, b2, *_ = self._arrays()
        means: Floats = np.tanh(x @ w1.T + b1) @ w2[: self.latent_dim].T + b2[:, : self.latent_dim]
        return means

    def write_gradient(self, x: Floats, noise: Floats) -> tuple[Floats, Floats]:
        """Writes the gradient of -ELBO into the parameters' `grad`.

        -ELBO = 1/2 |x - x'|^2 + KL(q(z | x) || N(0, 1)) up to a constant, averaged over the batch.

        Args:
            x: Inputs, (B, state_size).
            noise: Standard normal noise, (B, latent_dim): z = mean + noise * spread.

        Returns:
            The reconstructions x', and the derivatives with respect to x as the encoder's input alone, not
            as the target of the reconstruction; (B, state_size) each.
        """
        encoder, decoder = self._layers()
        encoded = forward(encoder, x)
        mean, log_var = np.split(encoded[-1], 2, axis=-1)
        spread = np.exp(0.5 * log_var)
        decoded = forward(decoder, mean + noise * spread)
        reconstruction, n = decoded[-1], np.float32(len(x))
        to_z = backward(decoder, decoded, (reconstruction - x) / n, to_input=True)
        # With KL = 1/2 (mean^2 + exp(log_var) - 1 - log_var).
        to_mean = to_z + mean / n
        to_log_var = 0.5 * (to_z * noise * spread + (spread * spread - 1) / n)
        to_x = backward(encoder, encoded, np.concatenate([to_mean, to_log_var], axis=-1), to_input=True)
        for parameter, gradient in zip(self.parameters(), self._gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        return reconstruction, to_x

    def _layers(self) -> tuple[list[Layer], list[Layer]]:
        arrays, gradients = self._arrays(), self._gradients
        layers = [
            Layer(arrays[i], arrays[i + 1][0], gradients[i], gradients[i + 1], activation)
            for i, activation in zip(range(0, len(arrays), 2), ("tanh", "", "tanh", ""), strict=True)
        ]
        return layers[:2], layers[2:]
