"""Everything that an inner learner would go on with: taken out, and put back in place."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor

from hyperrl_env.learners.gradient_history import GradientHistory
from hyperrl_env.learners.rollout_targets import RolloutTargets

_ROLLOUT = (
    *("observations", "actions", "rewards", "returns", "episode_starts", "values", "log_probs", "advantages"),
    *("buffer_size", "pos", "full", "generator_ready", "gamma", "gae_lambda"),
)


def optimizer_state(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The moments and counts of each parameter, in the optimiser's order of them."""
    return [dict(optimizer.state.get(p, {})) for group in optimizer.param_groups for p in group["params"]]


@torch.no_grad()
def set_optimizer_state(optimizer: torch.optim.Optimizer, state: list[dict[str, Any]]) -> None:
    """Takes over what `optimizer_state` gave.

    Unlike Torch's `load_state_dict` it writes into the tensors that are there: others share them.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter, values in zip(parameters, state, strict=True):
        if not values:
            optimizer.state.pop(parameter, None)
            continue
        live = optimizer.state[parameter]
        for name in live.keys() - values.keys():
            del live[name]
        for name, value in values.items():
            if isinstance(live.get(name), Tensor):
                live[name].copy_(value)
            elif isinstance(value, Tensor):
                # Torch counts steps on the CPU, whatever device the parameter is on.
                live[name] = value.clone() if value.ndim == 0 else value.to(parameter.device, copy=True)
            else:
                live[name] = value


def rollout_state(buffer: RolloutBuffer) -> dict[str, Any]:
    """The rollout at hand, laid out as the buffer has it."""
    return {name: getattr(buffer, name) for name in _ROLLOUT}


def set_rollout_state(buffer: RolloutBuffer, state: Mapping[str, Any]) -> None:
    """Takes over what `rollout_state` gave."""
    for name in _ROLLOUT:
        setattr(buffer, name, state[name])


def queue(items: list[Any], like: deque[Any] | None) -> deque[Any]:
    """The items as a queue of the same bound."""
    return deque(items, maxlen=None if like is None else like.maxlen)


class ResumableAlgorithm(OnPolicyAlgorithm):
    """The part of an inner learner that takes its state out and puts it back."""

    # What counts from one update, or one phase, to the next, beside networks and rollout; a subclass
    # names its own.
    _state_attributes: ClassVar[tuple[str, ...]] = (
        "num_timesteps",
        "_n_updates",
        "_episode_num",
        "_current_progress_remaining",
        "_last_obs",
        "_last_episode_starts",
        "_last_episode_return",
        "_headroom",
        "update_step",
        "updates_refused",
    )
    offered: ClassVar[tuple[str, ...]]
    gradient_history: GradientHistory
    _statistics: dict[str, list[Tensor | float]]
    _targets: RolloutTargets

    @abstractmethod
    def values_in_force(self) -> dict[str, float]:
        """The value that the live objects hold of every hyperparameter offered."""

    @abstractmethod
    def _apply(self, name: str, value: float) -> None:
        """Puts a hyperparameter in force."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the learner would go on with; it shares memory with the learner.

        Not in it: the inner environments, the global random generators, and what SB3's constructor
        arguments decide.
        """
        return {
            "policy": dict(self.policy.state_dict()),
            "optimizer": optimizer_state(self.policy.optimizer),
            "gradients": self.gradient_history.state(),
            "rollout": rollout_state(self.rollout_buffer),
            "targets": self._targets.state_dict(),
            "hyperparameters": self.values_in_force(),
            "statistics": {name: np.array([float(v) for v in vs]) for name, vs in self._statistics.items()},
            "episodes": list(self.ep_info_buffer or ()),
            "successes": list(self.ep_success_buffer or ()),
            "attributes": {name: getattr(self, name) for name in self._state_names() if hasattr(self, name)},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` of a learner of the same settings gave, after `start_run`.

        Args:
            state: Becomes the learner's own: give a copy of what is to be kept.
        """
        self.policy.load_state_dict(state["policy"])
        set_optimizer_state(self.policy.optimizer, state["optimizer"])
        self.gradient_history.set_state(state["gradients"])
        set_rollout_state(self.rollout_buffer, state["rollout"])
        self._targets = RolloutTargets.from_state(state["targets"])
        for name in self._state_names():
            if name in state["attributes"]:
                setattr(self, name, state["attributes"][name])
        # After the progress, which a ratio to a scheduled default may depend on.
        for name in self.offered:
            self._apply(name, state["hyperparameters"][name])
        self._statistics = {name: values.tolist() for name, values in state["statistics"].items()}
        self.ep_info_buffer = queue(state["episodes"], self.ep_info_buffer)
        self.ep_success_buffer = queue(state["successes"], self.ep_success_buffer)
        self.policy.set_training_mode(True)

    def restart_inner_episodes(self) -> None:
        """Starts a new episode in every inner environment, seeded from the global generator."""
        assert self.env is not None
        self.env.seed(int(np.random.randint(2**31)))
        self._last_obs = self.env.reset()  # type: ignore[assignment]
        self._last_episode_starts = np.ones(self.n_envs, dtype=bool)

    def _state_names(self) -> list[str]:
        return [name for cls in type(self).__mro__ for name in vars(cls).get("_state_attributes", ())]
