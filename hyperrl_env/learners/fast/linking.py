"""Recognising a policy that the fast backend has written out, after others have had the model in hand.

Users hold the live Stable-Baselines3 model. Between any two updates they may replace its layers, its
parameters or their memory, freeze parameters, or hook into layers.
"""

from __future__ import annotations

from operator import attrgetter, itemgetter
from typing import Any

from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

# What a policy computes depends on these, too, beside its modules.
_settings = itemgetter(
    "action_dist", "use_sde", "share_features_extractor", "normalize_images", "_squash_output"
)
_is_trained = attrgetter("requires_grad")
_hooks_of_module = attrgetter(
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
)
_hooks_of_optimizer = attrgetter("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
_hooks_of_tensor = attrgetter("_backward_hooks", "_post_accumulate_grad_hooks")


class Parts:
    """The parts that a policy consisted of when its arithmetic was written out.

    Args:
        policy: Without hooks (see `is_hooked`).
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self._policy = policy
        modules = list(policy.modules())
        self._tables: list[dict[str, Any]] = [
            table
            for m in modules
            for table in (m._parameters, m._modules)
            if table or isinstance(m, nn.Sequential)
        ]
        self._contents = [dict(table) for table in self._tables]
        self._parameters = list(policy.parameters())
        self._pointers = [p.data_ptr() for p in self._parameters]
        self._trained = [p for p in self._parameters if p.requires_grad]
        self._frozen = [p for p in self._parameters if not p.requires_grad]
        self._single = [
            (table, name, p)
            for table in self._tables
            for name, p in table.items()
            if isinstance(p, Tensor) and p.numel() == 1
        ]
        self._attributes = len(vars(policy))
        self._settings = _settings(vars(policy))
        self._hooks_ever = RemovableHandle.next_id

    def are_those_of(self, policy: ActorCriticPolicy) -> bool:
        """Whether the policy still consists of these parts; takes a few microseconds."""
        try:
            return (
                policy is self._policy
                # Equal is what is identical; of two tensors the numbers are compared only where they
                # are not, which ends in an error unless there is one number.
                and self._tables == self._contents
                and all(table[name] is p for table, name, p in self._single)
                and [p.data_ptr() for p in self._parameters] == self._pointers
                and all(map(_is_trained, self._trained))
                and not any(map(_is_trained, self._frozen))
                and len(vars(policy)) == self._attributes
                and _settings(vars(policy)) == self._settings
                # Torch numbers all hooks that there ever are: mostly there is no new one.
                and (RemovableHandle.next_id == self._hooks_ever or self._are_without_hooks())
            )
        except RuntimeError:
            return False

    def _are_without_hooks(self) -> bool:
        if is_hooked(self._policy):
            return False
        self._hooks_ever = RemovableHandle.next_id
        return True


def is_hooked(policy: ActorCriticPolicy) -> bool:
    """Whether Torch is to call something in a pass through the policy, or in its optimiser's step.

    Hooks of a features extractor that Torch evaluates do not count: they are called as ever.
    """
    extractor = policy.features_extractor
    apart = set() if type(extractor) is FlattenExtractor else set(extractor.modules())
    modules = [module for module in policy.modules() if module not in apart]
    parameters = [p for module in modules for p in module._parameters.values() if p is not None]
    return any(
        (
            *_hooks_of_optimizer(policy.optimizer),
            *(hooks for module in modules for hooks in _hooks_of_module(module)),
            *(hooks for p in parameters for hooks in _hooks_of_tensor(p)),
        )
    )


def hides_methods(thing: object) -> bool:
    """Whether a method was replaced on the object itself."""
    return any(callable(getattr(type(thing), name, None)) for name in vars(thing))


def optimises(optimizer: Optimizer, module: nn.Module) -> bool:
    """Whether an optimiser's parameters are those of a module."""
    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return own == {id(p) for p in module.parameters()}
