"""The policy's distributions and their derivatives, written out in NumPy."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch

from hyperrl_env.numeric.arrays import Floats

LOG_2PI = float(np.log(2 * np.pi))
# Torch draws fewer normal numbers than this one after the other, and so many at a time in another order.
_DRAWN_TOGETHER = 16


class Distribution(ABC):
    """The policy's distribution as a function of the actor's output."""

    @abstractmethod
    def sample(self, output: Floats, noise: Floats) -> Floats:
        """Actions (B, A) from the actor's output (B, out) and what `noise` returned for one step."""

    @abstractmethod
    def noise(self, n_steps: int, n_envs: int) -> Floats:
        """Noise for `sample`, (T, N, width), from Torch's global generator; the policy must stay as it is.

        As SB3's policies draw it, a step at a time: the same state gives the same noise.
        """

    @abstractmethod
    def log_prob(self, output: Floats, actions: Floats) -> Floats:
        """Log-probabilities (B,); keeps what `gradient` needs."""

    @abstractmethod
    def mean_entropy(self) -> float:
        """Mean entropy at the last `log_prob`'s outputs."""

    @abstractmethod
    def gradient(self, delta_log_prob: Floats, delta_mean_entropy: float) -> Floats:
        """Derivative of the loss with respect to the actor's output, (B, out).

        Args:
            delta_log_prob: Derivative with respect to each log-probability, (B,).
            delta_mean_entropy: Derivative with respect to the mean entropy.
        """


class Gaussian(Distribution):
    """Diagonal Gaussian with a log standard deviation that does not depend on the state."""

    def __init__(self, log_std: Floats, log_std_gradient: Floats) -> None:
        self._log_std, self._gradient = log_std, log_std_gradient

    def sample(self, output: Floats, noise: Floats) -> Floats:
        """See `Distribution.sample`."""
        return output + noise

    def noise(self, n_steps: int, n_envs: int) -> Floats:
        """See `Distribution.noise`."""
        width = n_envs * self._log_std.size
        if width < _DRAWN_TOGETHER:
            # One after the other, as numbers that do not lie side by side in memory are.
            drawn = torch.empty(n_steps, 2 * width)[:, :width].normal_().numpy()
        else:
            drawn = np.stack([torch.randn(width).numpy() for _ in range(n_steps)])
        scaled: Floats = np.exp(self._log_std) * drawn.reshape(n_steps, n_envs, -1)
        return scaled

    def log_prob(self, output: Floats, actions: Floats) -> Floats:
        """See `Distribution.log_prob`."""
        self._inverse_std = np.exp(-self._log_std)
        self._z = (actions - output) * self._inverse_std
        self._log_stds: float = sum(self._log_std.tolist())
        constant = self._log_stds + 0.5 * LOG_2PI * self._log_std.size
        log_prob: Floats = np.float32(-0.5) * np.vecdot(self._z, self._z) - np.float32(constant)
        return log_prob

    def mean_entropy(self) -> float:
        """See `Distribution.mean_entropy`."""
        return self._log_stds + 0.5 * (1 + LOG_2PI) * self._log_std.size

    def gradient(self, delta_log_prob: Floats, delta_mean_entropy: float) -> Floats:
        """See `Distribution.gradient`."""
        # d log p / d log_std = z^2 - 1, d log p / d mean = z / std, d entropy / d log_std = 1.
        scaled = delta_log_prob[:, None] * self._z
        np.vecdot(scaled.T, self._z.T, out=self._gradient)
        self._gradient += delta_mean_entropy - delta_log_prob.sum()
        delta: Floats = scaled * self._inverse_std
        return delta


class Categorical(Distribution):
    """Softmax over the actor's output."""

    def __init__(self, n_actions: int) -> None:
        self._n_actions = n_actions

    def sample(self, output: Floats, noise: Floats) -> Floats:
        """See `Distribution.sample`."""
        # Gumbel-max: the arg max of logits plus Gumbel noise is a sample of the softmax.
        choices: Floats = np.argmax(output + noise, axis=1).astype(np.float32)
        return choices[:, None]

    def noise(self, n_steps: int, n_envs: int) -> Floats:
        """See `Distribution.noise`."""
        # Torch samples by the arg max of p / q with q exponential; -log q is Gumbel.
        q = [torch.empty(n_envs, self._n_actions).exponential_().numpy() for _ in range(n_steps)]
        gumbel: Floats = -np.log(np.stack(q))
        return gumbel

    def log_prob(self, output: Floats, actions: Floats) -> Floats:
        """See `Distribution.log_prob`."""
        shifted = output - output.max(axis=1, keepdims=True)
        self._log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self._p = np.exp(self._log_p)
        self._chosen = (np.arange(len(output)), actions.reshape(-1).astype(np.intp))
        chosen: Floats = self._log_p[self._chosen]
        return chosen

    def mean_entropy(self) -> float:
        """See `Distribution.mean_entropy`."""
        self._entropy = -np.einsum("ij,ij->i", self._p, self._log_p)
        return float(self._entropy.mean())

    def gradient(self, delta_log_prob: Floats, delta_mean_entropy: float) -> Floats:
        """See `Distribution.gradient`."""
        # d log p_a / d z = 1_a - p, d entropy / d z = -p (log p + entropy).
        delta: Floats = -delta_log_prob[:, None] * self._p
        delta[self._chosen] += delta_log_prob
        if delta_mean_entropy:
            share = delta_mean_entropy / len(delta)
            delta -= np.float32(share) * self._p * (self._log_p + self._entropy[:, None])
        return delta
