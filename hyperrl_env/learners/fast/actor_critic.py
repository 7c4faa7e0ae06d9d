"""An actor-critic's forward pass and gradient, written out in NumPy.

For networks of two layers of 64 and minibatches of 64 samples, automatic differentiation costs many
times the arithmetic. Here is the arithmetic alone: the layers of SB3's `MlpPolicy`, its diagonal
Gaussian or categorical distribution, and their derivatives. A features extractor before them, as
`CnnPolicy` has it, is left to Torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.distributions import CategoricalDistribution, DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
from stable_baselines3.common.torch_layers import MlpExtractor
from torch import nn

from hyperrl_env.learners.fast.distributions import Categorical, Distribution, Gaussian
from hyperrl_env.learners.fast.features import Features, NetworkFeatures, features_of
from hyperrl_env.learners.fast.flat_parameters import FlatParameters
from hyperrl_env.learners.fast.linking import hides_methods, is_hooked
from hyperrl_env.numeric.arrays import Floats
from hyperrl_env.numeric.layers import Layer, backward, forward, output_derivatives, side_by_side


class ActorCritic:
    """SB3's `MlpPolicy` or `CnnPolicy`, shared with it parameter by parameter.

    Args:
        policy: One that `fits`.
        flat: Its parameters.
        at_once: Samples that a CNN evaluates at one time; None for all.

    Attributes:
        features: What actor and critic see of an observation.
        actor: Layers of the policy network.
        critic: Layers of the value network.
        trunk: The first layers of both, as far as their shapes agree, side by side.
        modules: Torch's modules of the actor's layers, and of the critic's.
        distribution: The policy's distribution.
    """

    def __init__(self, policy: ActorCriticPolicy, flat: FlatParameters, at_once: int | None) -> None:
        features = features_of(policy, at_once)
        assert features is not None
        self.features: Features = features
        self._network = features if isinstance(features, NetworkFeatures) else None
        self._flat = flat
        actor = [*policy.mlp_extractor.policy_net, policy.action_net]
        critic = [*policy.mlp_extractor.value_net, policy.value_net]
        self.actor, self.critic = _layers(actor, policy, flat), _layers(critic, policy, flat)
        self.modules = tuple([m for m in net if isinstance(m, nn.Linear)] for net in (actor, critic))
        alike = takewhile(
            lambda pair: (
                pair[0].weight.shape == pair[1].weight.shape and pair[0].activation == pair[1].activation
            ),
            zip(self.actor[:-1], self.critic[:-1], strict=False),
        )
        self.trunk = [side_by_side(a, b) for a, b in alike]
        self.distribution: Distribution
        if isinstance(policy.action_dist, CategoricalDistribution):
            self.distribution = Categorical(policy.action_dist.action_dim)
        else:
            self.distribution = Gaussian(
                flat.view(flat.values, "log_std"), flat.view(flat.gradients, "log_std")
            )

    @staticmethod
    def fits(policy: ActorCriticPolicy) -> bool:
        """Whether the policy is of the kind that is written out here."""
        extractor = policy.mlp_extractor
        if not (
            type(policy) in (ActorCriticPolicy, ActorCriticCnnPolicy)
            and type(extractor) is MlpExtractor
            and type(policy.action_dist) in (DiagGaussianDistribution, CategoricalDistribution)
            and not (policy.use_sde or policy.squash_output)
            and features_of(policy) is not None
            and type(extractor.policy_net) is type(extractor.value_net) is nn.Sequential
        ):
            return False
        actor = [*extractor.policy_net, policy.action_net]
        critic = [*extractor.value_net, policy.value_net]
        if not (_is_written_out(actor) and _is_written_out(critic)):
            return False
        linears = [module for module in (*actor, *critic) if isinstance(module, nn.Linear)]
        parts = [p for linear in linears for p in (linear.weight, linear.bias)]
        if isinstance(policy.action_dist, DiagGaussianDistribution):
            parts.append(policy.log_std)
        parts += policy.features_extractor.parameters()
        parameters = list(policy.parameters())
        return (
            # All of them, none twice, and no others.
            len(parts) == len(parameters)
            and {id(p) for p in parts} == {id(p) for p in parameters}
            and any(p.requires_grad for p in parameters)
            and all(p.device.type == "cpu" and p.dtype == torch.float32 for p in parameters)
            and not hides_methods(policy)
            and not is_hooked(policy)
        )

    def values(self, features: Floats) -> Floats:
        """V(s), (B,)."""
        return forward(self.critic, features)[-1][:, 0]

    def policy_output(self, features: Floats) -> Floats:
        """What the distribution is made of: means or logits, (B, out)."""
        return forward(self.actor, features)[-1]

    def evaluate(self, rows: NDArray[Any], actions: Floats) -> tuple[Floats, Floats, float]:
        """Values (B,), log-probabilities (B,) and mean entropy; keeps what `gradient` needs.

        Args:
            rows: Observations as `Features.rows` lays them out, (B, ...).
            actions: (B, A).
        """
        features = self.features.evaluate(rows)
        shared = len(self.trunk)
        self._trunk_activations = forward(self.trunk, features)
        hidden = self._trunk_activations[-1] if shared else (features, features)
        self._actor_activations = forward(self.actor[shared:], hidden[0])
        self._critic_activations = forward(self.critic[shared:], hidden[1])
        log_prob = self.distribution.log_prob(self._actor_activations[-1], actions)
        return self._critic_activations[-1][:, 0], log_prob, self.distribution.mean_entropy()

    def gradient(self, delta_values: Floats, delta_log_prob: Floats, delta_mean_entropy: float) -> None:
        """Writes the flat gradient, from the loss's derivatives with respect to what `evaluate` gave."""
        shared = len(self.trunk)
        network = self._network if self._network is not None and self._network.is_trained else None
        if network is not None:
            # Torch adds to what is there.
            self._flat.share_gradients()
            self._flat.gradients.fill(0)
        to_input = shared > 0 or network is not None
        delta = self.distribution.gradient(delta_log_prob, delta_mean_entropy)
        nets = (
            (self.actor, self._actor_activations, delta),
            (
                self.critic,
                self._critic_activations,
                delta_values[:, None],
            ),
        )
        deltas = np.empty((2, *self._actor_activations[0].shape), np.float32)
        for (layers, activations, end), out in zip(nets, deltas, strict=True):
            backward(layers[shared:], activations, end, to_input=to_input, out=out)
        if shared:
            deltas = backward(self.trunk, self._trunk_activations, deltas, to_input=network is not None)
        if network is not None:
            network.loss(deltas[0] + deltas[1]).backward()
        for gradient in self._flat.frozen_gradients:
            gradient.fill(0)

    def layer_derivatives(
        self, delta_values: Floats, delta_log_prob: Floats
    ) -> tuple[list[tuple[nn.Linear, Floats, Floats]], Floats]:
        """Derivatives of a loss with respect to the outputs of all layers, and to the features.

        Args:
            delta_values: Derivative of the loss with respect to the values that `evaluate` gave, (B,).
            delta_log_prob: Likewise of the log-probabilities.

        Returns:
            Every layer, its inputs (B, in), and the derivatives with respect to its outputs (B, out);
            and those with respect to the features, (B, F).
        """
        # It writes the gradient of log_std, too, which `gradient` writes anew.
        ends = self.distribution.gradient(delta_log_prob, 0.0), delta_values[:, None]
        rests = self._actor_activations, self._critic_activations
        nets = zip((self.actor, self.critic), self.modules, rests, ends, strict=True)
        found: list[tuple[nn.Linear, Floats, Floats]] = []
        to_features = []
        for net, (layers, modules, rest, end) in enumerate(nets):
            trunk = [x if i == 0 else x[net] for i, x in enumerate(self._trunk_activations[:-1])]
            activations = [*trunk, *rest]
            derivatives = output_derivatives(layers, activations, end)
            found += zip(modules, activations[:-1], derivatives, strict=True)
            to_features.append(derivatives[0] @ layers[0].weight)
        return found, to_features[0] + to_features[1]


_ACTIVATIONS: Mapping[type[nn.Module] | None, str] = {nn.Tanh: "tanh", nn.ReLU: "relu"}


def _is_written_out(modules: Sequence[nn.Module]) -> bool:
    """Whether a network consists of linear layers with biases, each followed by one activation at most."""
    kinds = [type(module) for module in modules]
    return all(
        (kind is nn.Linear and module.bias is not None) or (kind in _ACTIVATIONS and before is nn.Linear)
        for module, kind, before in zip(modules, kinds, [None, *kinds], strict=False)
    )


def _layers(modules: Sequence[nn.Module], policy: nn.Module, flat: FlatParameters) -> list[Layer]:
    """The linear layers among a network's modules, each with the activation that follows it."""
    names = {id(parameter): name for name, parameter in policy.named_parameters()}
    layers = []
    for i, module in enumerate(modules):
        if isinstance(module, nn.Linear):
            weight, bias = names[id(module.weight)], names[id(module.bias)]
            following = type(modules[i + 1]) if i + 1 < len(modules) else None
            layers.append(
                Layer(
                    flat.view(flat.values, weight),
                    flat.view(flat.values, bias),
                    flat.view(flat.gradients, weight),
                    flat.view(flat.gradients, bias),
                    _ACTIVATIONS.get(following, ""),
                )
            )
    return layers
