"""What actor and critic see of an observation: its numbers, or what a network makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor, NatureCNN
from torch import Tensor

from hyperrl_env.numeric.arrays import Floats


class Features(ABC):
    """Turns observations into features.

    Attributes:
        dtype: Of the observations that are taken.
    """

    dtype: np.dtype[Any]

    @abstractmethod
    def __call__(self, observations: NDArray[Any]) -> Floats:
        """Features (B, F) of observations (B, ...), as they are collected."""

    @abstractmethod
    def rows(self, observations: NDArray[Any]) -> NDArray[Any]:
        """A rollout's observations (B, ...) laid out for `evaluate`, a row for each."""

    @abstractmethod
    def evaluate(self, rows: NDArray[Any]) -> Floats:
        """Features (B, F) of some of the rows."""


class FlatFeatures(Features):
    """The observation's own numbers, as SB3's FlattenExtractor hands them on."""

    dtype = np.dtype(np.float32)

    def __call__(self, observations: NDArray[Any]) -> Floats:
        """See `Features.__call__`."""
        return self.rows(observations)

    def rows(self, observations: NDArray[Any]) -> Floats:
        """See `Features.rows`."""
        return np.asarray(observations, np.float32).reshape(len(observations), -1)

    def evaluate(self, rows: NDArray[Any]) -> Floats:
        """See `Features.evaluate`."""
        return rows


class NetworkFeatures(Features):
    """The policy's features extractor, a CNN above all, which Torch evaluates and differentiates.

    Its time is that of its convolutions, for which Torch has kernels near the machine's peak. They
    are fastest on images whose channels lie side by side, so rollouts of images are laid out so.

    Args:
        policy: Its extractor is shared by actor and critic.
        at_once: Samples that the Nature CNN evaluates at one time where it trains; None for all. What
            256 need comes from memory that has been used before, what more need from new pages, which
            take a tenth of an update's time. Another extractor may see a batch as a whole.
    """

    def __init__(self, policy: ActorCriticPolicy, at_once: int | None) -> None:
        self._policy = policy
        self._at_once = at_once if type(policy.features_extractor) is NatureCNN else None
        self._images = _are_scaled(policy)
        self._scaled: Floats = np.empty(0, np.float32)
        dtype = np.dtype(policy.observation_space.dtype)
        # What is finite in float64 alone is not finite to a network.
        self.dtype = np.dtype(np.float32) if dtype.kind == "f" else dtype

    def __call__(self, observations: NDArray[Any]) -> Floats:
        """See `Features.__call__`."""
        with torch.no_grad():
            features = self._policy.extract_features(torch.as_tensor(observations))
        assert isinstance(features, Tensor)
        return np.asarray(features)

    def rows(self, observations: NDArray[Any]) -> NDArray[Any]:
        """See `Features.rows`; of images (B, C, H, W) these are (B, H, W, C)."""
        return np.ascontiguousarray(np.moveaxis(observations, 1, -1)) if self._images else observations

    def evaluate(self, rows: NDArray[Any]) -> Floats:
        """See `Features.evaluate`; keeps what `loss` needs."""
        with torch.enable_grad():
            parts = self._input(rows).split(self._at_once or len(rows))
            self._features = torch.cat([self._policy.features_extractor(part) for part in parts])
        features: Floats = self._features.detach().numpy()
        return features

    def _input(self, rows: NDArray[Any]) -> Tensor:
        """What SB3's `preprocess_obs` makes of the rows."""
        if not self._images:
            return torch.as_tensor(rows).float()
        if len(self._scaled) < len(rows):
            self._scaled = np.empty(rows.shape, np.float32)
        scaled = np.divide(rows, np.float32(255), out=self._scaled[: len(rows)])
        return torch.from_numpy(scaled).movedim(-1, 1)

    @property
    def is_trained(self) -> bool:
        """Whether the network that gave the features last evaluated is trained."""
        return self._features.requires_grad

    def loss(self, derivative: Floats) -> Tensor:
        """A loss, a scalar, with this derivative (B, F) with respect to the features last evaluated."""
        return (self._features * torch.from_numpy(derivative)).sum()


def features_of(policy: ActorCriticPolicy, at_once: int | None = None) -> Features | None:
    """What stands before a policy's actor and critic; None where it is of another kind.

    Args:
        policy: The policy.
        at_once: See `NetworkFeatures`.
    """
    if not isinstance(policy.observation_space, spaces.Box):
        return None
    extractors = policy.features_extractor, policy.pi_features_extractor, policy.vf_features_extractor
    if all(type(extractor) is FlattenExtractor for extractor in extractors):
        return None if _are_scaled(policy) else FlatFeatures()
    # SB3 takes one or another of them; somebody may have replaced only one.
    shared = policy.share_features_extractor and all(e is policy.features_extractor for e in extractors)
    return NetworkFeatures(policy, at_once) if shared else None


def _are_scaled(policy: ActorCriticPolicy) -> bool:
    """Whether observations are images, which SB3 scales to [0, 1]."""
    return policy.normalize_images and is_image_space(policy.observation_space)
