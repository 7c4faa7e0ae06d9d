"""What an update must leave behind to be kept: a policy that can still act and learn."""

from __future__ import annotations

import torch
from stable_baselines3.common.policies import ActorCriticPolicy

# Beyond these a network's output, its square, or the density of an action leaves float32's range.
LARGEST_WEIGHT = 1e8
LARGEST_LOG_STD = 20.0

# No step of Adam or RMSprop, as Torch and SB3 set their decay rates, moves a parameter by more than
# (1 - beta1) / sqrt(1 - beta2) = 3.2 or 1 / sqrt(1 - alpha) = 10 learning rates (Kingma and Ba 2015, 2.1).
LONGEST_STEP = 10.0


def headroom(policy: ActorCriticPolicy) -> float:
    """How far every parameter may still move before the policy can be unusable.

    Returns:
        The distance; negative or not a number where weights or log standard deviation already are
        not finite, or larger than arithmetic bears.
    """
    largest = float(torch.nn.utils.get_total_norm(policy.parameters(), norm_type=torch.inf))
    log_std = getattr(policy, "log_std", None)
    spread = float(log_std.detach().abs().max()) if isinstance(log_std, torch.Tensor) else 0.0
    # min() would pass over what is not a number, which every comparison with is false.
    return min(LARGEST_WEIGHT - largest, LARGEST_LOG_STD - spread) if largest <= LARGEST_WEIGHT else -1.0


def has_bounded_steps(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimiser is Adam or RMSprop without extras, for which `LONGEST_STEP` holds."""
    if type(optimizer) not in (torch.optim.Adam, torch.optim.RMSprop):
        return False
    group = optimizer.param_groups[0]
    if len(optimizer.param_groups) > 1 or group["weight_decay"] or group["maximize"]:
        return False
    if type(optimizer) is torch.optim.Adam:
        beta1, beta2 = group["betas"]
        return not group["amsgrad"] and bool(1 - beta1 <= LONGEST_STEP * (1 - beta2) ** 0.5)
    plain = not group["centered"] and not group["momentum"]
    return plain and bool((1 - group["alpha"]) ** -0.5 <= LONGEST_STEP * (1 + 1e-9))


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
