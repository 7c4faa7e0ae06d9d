"""What an update must leave behind to be kept: a policy that can still act and learn."""

from __future__ import annotations

import torch
from stable_baselines3.common.policies import ActorCriticPolicy

# Beyond these a network's output, its square, or the density of an action leaves float32's range.
LARGEST_WEIGHT = 1e8
LARGEST_LOG_STD = 20.0


def is_usable(policy: ActorCriticPolicy) -> bool:
    """Whether weights and log standard deviation are finite and of a size that arithmetic bears."""
    # Not a number compares false.
    largest = float(torch.nn.utils.get_total_norm(policy.parameters(), norm_type=torch.inf))
    log_std = getattr(policy, "log_std", None)
    return largest <= LARGEST_WEIGHT and (
        not isinstance(log_std, torch.Tensor) or float(log_std.detach().abs().max()) <= LARGEST_LOG_STD
    )


class LastGoodState:
    """A policy's parameters and its optimiser's state before a step, to go back to.

    Args:
        policy: The policy; its state is copied.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self._optimizer = policy.optimizer
        self._unstepped = not policy.optimizer.state
        state = [
            t for s in policy.optimizer.state.values() for t in s.values() if isinstance(t, torch.Tensor)
        ]
        self._live = [*policy.parameters(), *state]
        self._kept = [tensor.detach().clone() for tensor in self._live]

    @torch.no_grad()
    def restore(self) -> None:
        """Undoes what has happened since."""
        for tensor, value in zip(self._live, self._kept, strict=True):
            tensor.copy_(value)
        if self._unstepped:
            self._optimizer.state.clear()
