"""Runs that train a Stable-Baselines3 model of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import update_learning_rate

from hyperrl_env.inner_envs.state import set_wrappers_state, wrappers_state
from hyperrl_env.inner_run import InnerRun
from hyperrl_env.learners import LearnCall, algorithm_of, learner_on
from hyperrl_env.learners.resumable import optimizer_state, set_optimizer_state
from hyperrl_env.numeric.random_state import random_state_of
from hyperrl_env.saving.checkpoint import copied

# What SB3 counts or keeps from one `learn` to the next.
_COUNTERS = ("_n_updates", "_current_progress_remaining")


def learn_call(model: OnPolicyAlgorithm | LearnCall) -> LearnCall:
    """How the model is to be trained: as it was said, or as by `model.learn` without further arguments.

    Raises:
        ValueError: A model that cannot be trained here.
    """
    if isinstance(model, LearnCall):
        return model
    algorithm_of(model)
    return LearnCall.plain(model)


class UserRunConfig:
    """What all runs on one model have in common; as `InnerRunConfig` for learners that are made.

    A run without a seed trains the model on as it is, with the process's own random generators, as the
    model's own `learn` does. A seed starts a run that can be repeated: from the weights, the optimiser and
    the normalisation that the model had when this was made, with generators of its own.

    Args:
        call: The model, and how its `learn` would be called.
        backend: What does its rollouts and updates.
        total_env_steps: The budget of a run.
        gradient_order: N_order.

    Raises:
        ValueError: A model that cannot be trained here.

    Attributes:
        algorithm: The model's.
        n_envs: Its inner environments side by side.
        total_env_steps: The budget of a run.
        first_progress: What is left of a run when it begins, as SB3's schedules count it.
    """

    # As for `InnerRunConfig`.
    after_reset: ClassVar[tuple[str, str]] = ("your model as it is", "It is trained on, for another budget.")

    def __init__(self, call: LearnCall, *, backend: str, total_env_steps: int, gradient_order: int) -> None:
        self.algorithm = algorithm_of(call.model)
        self.n_envs = call.model.n_envs
        self.total_env_steps = total_env_steps
        self._call = call
        self._backend = backend
        self._gradient_order = gradient_order
        self._learner = learner_on(call, backend)
        self._initial = copied(self._state())

    @property
    def first_progress(self) -> float:
        """See above."""
        done = 0 if self._call.reset_num_timesteps else self._call.model.num_timesteps
        return 1 - done / (done + self.total_env_steps)

    def seed_of(self, given: int | None, generator: np.random.Generator) -> int | None:
        """The seed of a run: none unless it is given."""
        return given

    def new_run(self, seed: int | None) -> InnerRun:
        """A run on the model; see above for what a seed means."""
        learner, model = self._learner, self._call.model
        learner.end_run()
        random_state = random_state_of(seed)
        if seed is not None:
            with random_state.swapped_in():
                self._load_state(copied(self._initial))
                model.set_random_seed(seed)
        return InnerRun(
            learner,
            random_state,
            seed=seed,
            total_env_steps=self.total_env_steps,
            gradient_order=self._gradient_order,
            name=type(model.env).__name__,
            # The inner environments are the user's.
            close=learner.end_run,
        )

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError(
            "An environment that trains a model of yours cannot be copied or pickled: it trains the model in "
            "place. snapshot() and restore() go back in time; save() and load() continue elsewhere."
        )

    def identity(self) -> dict[str, Any]:
        """What two models must have in common for one to continue from the other's state."""
        learner = self._learner
        return {
            "algorithm": self.algorithm,
            "backend": self._backend,
            "n_envs": self.n_envs,
            "normalize": learner.get_vec_normalize_env() is not None,
            "parameters": {name: str(tuple(p.shape)) for name, p in learner.policy.named_parameters()},
            "settings": learner.settings(),
            "total_env_steps": self.total_env_steps,
            "gradient_order": self._gradient_order,
        }

    def _state(self) -> dict[str, Any]:
        learner, optimizer = self._learner, self._learner.policy.optimizer
        assert learner.env is not None
        return {
            "policy": dict(learner.policy.state_dict()),
            "optimizer": optimizer_state(optimizer),
            "learning_rate": optimizer.param_groups[0]["lr"],
            "counters": {name: getattr(learner, name) for name in _COUNTERS},
            "wrappers": wrappers_state(learner.env),
        }

    def _load_state(self, state: Mapping[str, Any]) -> None:
        learner, optimizer = self._learner, self._learner.policy.optimizer
        assert learner.env is not None
        learner.policy.load_state_dict(state["policy"])
        set_optimizer_state(optimizer, state["optimizer"])
        update_learning_rate(optimizer, state["learning_rate"])
        for name, value in state["counters"].items():
            setattr(learner, name, value)
        set_wrappers_state(learner.env, state["wrappers"])
