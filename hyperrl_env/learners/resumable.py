"""Everything that an inner learner would continue with: taken out, and put back in place."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from stable_baselines3.common.buffers import RolloutBuffer
from torch import Tensor

from hyperrl_env.learners.rollout_targets import RolloutTargets

if TYPE_CHECKING:
    from hyperrl_env.learners.base import InnerLearner

# What SB3 counts from one update, or one phase, to the next, and the last return that the hyper-reward had.
_COUNTERS = (
    *("num_timesteps", "_n_updates", "_episode_num", "_current_progress_remaining"),
    *("_last_obs", "_last_episode_starts", "_last_episode_return"),
)

_ROLLOUT = (
    *("observations", "actions", "rewards", "returns", "episode_starts", "values", "log_probs", "advantages"),
    *("buffer_size", "pos", "full", "generator_ready", "gamma", "gae_lambda"),
)


def optimizer_state(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The moments and counts of each parameter, in the optimiser's order of them."""
    return [dict(optimizer.state.get(p, {})) for group in optimizer.param_groups for p in group["params"]]


@torch.no_grad()
def set_optimizer_state(optimizer: torch.optim.Optimizer, state: list[dict[str, Any]]) -> None:
    """Puts back what `optimizer_state` gave.

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
    """Puts back what `rollout_state` gave."""
    for name in _ROLLOUT:
        setattr(buffer, name, state[name])


def queue(items: list[Any], like: deque[Any] | None) -> deque[Any]:
    """The items as a queue of the same bound."""
    return deque(items, maxlen=None if like is None else like.maxlen)


def learner_state(learner: InnerLearner) -> dict[str, Any]:
    """Everything that a learner would continue with; it shares memory with the learner.

    Not in it: the inner environments, the global random generators, and what SB3's constructor
    arguments decide.
    """
    return {
        "policy": dict(learner.policy.state_dict()),
        "optimizer": optimizer_state(learner.policy.optimizer),
        "gradients": learner.gradient_history.state(),
        "rollout": rollout_state(learner.rollout_buffer),
        "targets": learner.targets.state_dict(),
        "hyperparameters": learner.values_in_force(),
        "update_phase": learner.update_phase.state_dict(),
        "episodes": list(learner.ep_info_buffer or ()),
        "successes": list(learner.ep_success_buffer or ()),
        "counters": {name: getattr(learner, name) for name in _COUNTERS},
    }


def set_learner_state(learner: InnerLearner, state: Mapping[str, Any]) -> None:
    """Puts back what `learner_state` of a learner of the same settings gave, after `start_run`.

    Args:
        learner: The learner.
        state: Becomes the learner's own: give a copy of what is to be kept.
    """
    learner.policy.load_state_dict(state["policy"])
    set_optimizer_state(learner.policy.optimizer, state["optimizer"])
    learner.gradient_history.set_state(state["gradients"])
    set_rollout_state(learner.rollout_buffer, state["rollout"])
    learner.targets = RolloutTargets.from_state(state["targets"])
    learner.update_phase = learner.phase_class.from_state(state["update_phase"])
    for name in _COUNTERS:
        setattr(learner, name, state["counters"][name])
    # After the progress, which a ratio to a scheduled default may depend on.
    learner.apply(state["hyperparameters"])
    learner.ep_info_buffer = queue(state["episodes"], learner.ep_info_buffer)
    learner.ep_success_buffer = queue(state["successes"], learner.ep_success_buffer)
    learner.policy.set_training_mode(True)
