"""The constructor's arguments of a Hyper-RL environment, resolved against its task and checked."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import gymnasium as gym
import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from hyperrl_env.checks import check_at_least, check_bool, check_choice, check_keywords, check_text
from hyperrl_env.diagnostics import ObservationName
from hyperrl_env.hyper_reward import HyperReward, get_hyper_reward
from hyperrl_env.inner_envs.make import VecBackend
from hyperrl_env.inner_run import InnerRun, InnerRunConfig
from hyperrl_env.learners import InnerLearner, LearnCall, algorithm_of, check_backend
from hyperrl_env.presets import get_search_space
from hyperrl_env.rendering import RENDERERS
from hyperrl_env.saving.identity import as_plain_values
from hyperrl_env.search_space import ActionMode, BoundSearchSpace, Offered, SearchSpace
from hyperrl_env.settings import GENERIC_SETTINGS, StartingPoint, get_settings
from hyperrl_env.tasks import TASKS, Family
from hyperrl_env.user_run import UserRunConfig, learn_call

Decision = Literal["update", "epoch", "phase"]


@dataclass(frozen=True)
class Configuration:
    """What a Hyper-RL environment does, whatever the seed.

    Attributes:
        title: What is trained, for pictures.
        family: The task's simulator family.
        inner_run: What all inner runs have in common.
        rollout_size: Transitions of an environment phase with the task's own `n_steps`.
        search_space: Which hyperparameters an action chooses, and how.
        decision: How long an action is held.
        learning_episode_phases: Update phases of a learning episode; None: all of a run.
        observation: What an observation consists of.
        hyper_reward: The definition in use.
        defaults: Of every hyperparameter offered, at the start of a run.
        shapes: (out, in) of the matrices W_m^n behind the hyper-state (Eq. 2), in its order.
        projection_dim: d, the length that each of their rows is projected to.
        render_mode: How the run is shown; None: not at all.
        identity: What a state must have in common with this environment to be restored here, in
            plain values.
    """

    title: str
    family: Family
    inner_run: InnerRunConfig | UserRunConfig
    rollout_size: int
    search_space: BoundSearchSpace
    decision: Decision
    learning_episode_phases: int | None
    observation: ObservationName
    hyper_reward: HyperReward
    defaults: Mapping[str, float]
    shapes: tuple[tuple[int, int], ...]
    projection_dim: int
    render_mode: str | None
    identity: Mapping[str, Any]

    @property
    def phases_per_run(self) -> int:
        """Update phases of a run with the task's own `n_steps`; another choice of it makes more or fewer."""
        return math.ceil(self.inner_run.total_env_steps / self.rollout_size)

    @property
    def horizon(self) -> int:
        """The fewest steps that any action gives an environment phase."""
        return int(self.search_space.least("n_steps"))


def resolve(
    *,
    algorithm: str | None,
    task: str | None,
    model: OnPolicyAlgorithm | LearnCall | None,
    env_id: str | None,
    env_fn: Callable[..., gym.Env[Any, Any]] | None,
    env_kwargs: Mapping[str, Any] | None,
    settings: StartingPoint,
    total_env_steps: int | None,
    search_space: str | Offered | SearchSpace | None,
    action_mode: ActionMode,
    decision: Decision,
    learning_episode_phases: int | None,
    observation: ObservationName,
    order: int,
    projection_dim: int,
    hyper_reward: str | HyperReward,
    n_envs: int | None,
    normalize: bool | None,
    vec_backend: VecBackend,
    learner_kwargs: Mapping[str, Any] | None,
    backend: str,
    device: str,
    render_mode: str | None,
) -> Configuration:
    """Fills what was not given from the task's settings, and checks everything.

    Arguments and errors are those of `HyperRLEnv`.
    """
    call = None
    if model is not None:
        _check_left_out(
            task=task,
            env_id=env_id,
            env_fn=env_fn,
            env_kwargs=env_kwargs,
            settings=None if settings == "paper" else settings,
            n_envs=n_envs,
            normalize=normalize,
            vec_backend=None if vec_backend == "gymnasium" else vec_backend,
            learner_kwargs=learner_kwargs,
            device=None if device == "auto" else device,
        )
        call = learn_call(model)
        given, algorithm = algorithm, algorithm_of(call.model)
        if given not in (None, algorithm):
            raise ValueError(f"The model is {algorithm}, not {given}: the id for any model is HyperRL-v0.")
    elif algorithm is None:
        others = ", ".join(f"HyperRL-{name}-v0" for name in GENERIC_SETTINGS)
        raise ValueError(
            f"HyperRL-v0 trains a Stable-Baselines3 model of yours: give model. {others} make one themselves."
        )
    start = get_settings(algorithm, task, settings, env_id)
    check_keywords("learner_kwargs", learner_kwargs or {})
    check_keywords("env_kwargs", env_kwargs or {})
    check_text("backend", backend)
    check_backend(backend)
    check_text("device", str(device) if isinstance(device, torch.device) else device)
    if normalize is not None:
        check_bool("normalize", normalize)
    check_choice("decision", decision, get_args(Decision))
    check_choice("observation", observation, get_args(ObservationName))
    if render_mode is not None:
        check_choice("render_mode", render_mode, tuple(RENDERERS))
    if learning_episode_phases is not None:
        check_at_least("learning_episode_phases", learning_episode_phases, 1)
    check_at_least("order", order, 0)
    check_at_least("projection_dim", projection_dim, 1)
    reward = get_hyper_reward(hyper_reward)
    steps = start.total_env_steps if total_env_steps is None else total_env_steps
    trained_by = "fast" if backend == "auto" else backend
    inner_run: InnerRunConfig | UserRunConfig
    if call is not None:
        check_at_least("total_env_steps", steps, 1)
        inner_run = UserRunConfig(call, backend=trained_by, total_env_steps=steps, gradient_order=order)
        facts = _probe(inner_run.new_run(None), backend, inner_run.first_progress)
    else:
        inner_run = InnerRunConfig(
            algorithm=algorithm,
            backend=trained_by,
            learner_kwargs={**start.learner_kwargs, **(learner_kwargs or {})},
            env=_inner_env(env_id, env_fn, task),
            env_kwargs=env_kwargs or {},
            # What the user brings is taken as it is.
            atari=start.family == "atari" and env_id is None and env_fn is None,
            vec_backend=vec_backend,
            n_envs=start.n_envs if n_envs is None else n_envs,
            normalize=start.normalize if normalize is None else normalize,
            total_env_steps=steps,
            gradient_order=order,
            device=device,
        )
        facts = _probe(inner_run.new_run(0), backend)
    check_at_least("total_env_steps", steps, facts.rollout_size, "one environment phase, n_steps * n_envs")
    space = start.search_space if search_space is None else get_search_space(search_space)
    bound = BoundSearchSpace(space, action_mode, facts.defaults, facts.rollout_size)
    identity = {
        **inner_run.identity(),
        "search_space": bound.bins,
        "action_mode": action_mode,
        "decision": decision,
        "learning_episode_phases": learning_episode_phases,
        "observation": observation,
        "projection_dim": projection_dim,
        "hyper_reward": hyper_reward,
    }
    return Configuration(
        title=f"{algorithm} on {task or env_id or 'your own environment'}",
        family=start.family,
        inner_run=inner_run,
        rollout_size=facts.rollout_size,
        search_space=bound,
        decision=decision,
        learning_episode_phases=learning_episode_phases,
        observation=observation,
        hyper_reward=reward,
        defaults=facts.defaults,
        shapes=facts.shapes * (1 + order),
        projection_dim=projection_dim,
        render_mode=render_mode,
        identity={**facts.identity, **as_plain_values(identity)},
    )


def _check_left_out(**arguments: Any) -> None:
    """Raises ValueError for what was given though the model of the user's already says it."""
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise ValueError(
            f"Leave out {', '.join(given)}: the model that was given brings its algorithm, settings and "
            "environments with it. The id for it is HyperRL-v0."
        )


class _Facts(NamedTuple):
    """What only a learner on its inner environments knows.

    Attributes:
        rollout_size: n_steps * n_envs.
        defaults: Of every hyperparameter offered, at the start of a run.
        shapes: (out, in) of the policy's parameters as matrices.
        identity: What inner environment, learner and policy are.
    """

    rollout_size: int
    defaults: dict[str, float]
    shapes: tuple[tuple[int, int], ...]
    identity: dict[str, Any]


def _probe(run: InnerRun, backend: str, progress: float = 1.0) -> _Facts:
    """Asks a learner that does not train yet."""
    learner = run.learner
    try:
        if backend == "fast" and not learner.is_fast:
            warnings.warn(
                f"{_parts(learner)} on {learner.device} has no closed form for backend='fast': "
                "Stable-Baselines3's own arithmetic (backend='eager') trains it.",
                stacklevel=4,
            )
        return _Facts(
            rollout_size=learner.n_steps * learner.n_envs,
            defaults=learner.default_values(progress),
            shapes=tuple((w.shape[0], w.shape[1]) for w in run.weights()),
            identity={
                "inner_env": run.inner_name,
                "observation_space": str(learner.observation_space),
                "action_space": str(learner.action_space),
                "policy": type(learner.policy).__name__,
                "device": learner.device.type,
            },
        )
    finally:
        run.close()


def _parts(learner: InnerLearner) -> str:
    """What a closed form depends on."""
    policy, optimizer, buffer = learner.policy, learner.policy.optimizer, learner.rollout_buffer
    return f"{type(policy).__name__} with {type(optimizer).__name__} and {type(buffer).__name__}"


def _inner_env(
    env_id: str | None, env_fn: Callable[..., gym.Env[Any, Any]] | None, task: str | None
) -> str | Callable[..., gym.Env[Any, Any]]:
    if env_id is not None and env_fn is not None:
        raise ValueError("Give env_id or env_fn, not both.")
    if env_fn is not None:
        if not callable(env_fn):
            raise ValueError(f"env_fn must be a callable that makes an environment, not {env_fn!r}.")
        return env_fn
    if env_id is not None:
        check_text("env_id", env_id)
        return env_id
    if task is None:
        raise ValueError("A generic Hyper-RL environment needs an inner one: give env_id or env_fn.")
    return TASKS[task].env_id
