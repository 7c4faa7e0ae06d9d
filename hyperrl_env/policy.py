"""The policy that an inner run has trained: kept without its learner, and evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from hyperrl_env.inner_envs.state import running_statistics
from hyperrl_env.inner_run import InnerRunConfig
from hyperrl_env.learners import InnerLearner
from hyperrl_env.saving.checkpoint import CheckpointError
from hyperrl_env.user_run import UserRunConfig


def policy_state(learner: InnerLearner) -> dict[str, Any]:
    """What the learner's policy needs to act; shares memory with the learner.

    Returns:
        A state for `write_checkpoint`: the environment steps that trained it (`env_steps`), its parameters
        (`parameters`), and mean, variance and count of each normalised part (`scales`, empty without
        normalisation).
    """
    normalizer = learner.get_vec_normalize_env()
    return {
        "env_steps": learner.num_timesteps,
        "parameters": dict(learner.policy.state_dict()),
        "scales": {}
        if normalizer is None
        else {name: [s.mean, s.var, s.count] for name, s in running_statistics(normalizer).items()},
    }


def evaluate(
    config: InnerRunConfig | UserRunConfig,
    state: Mapping[str, Any],
    *,
    episodes: int,
    seed: int,
    prepare: Callable[[VecEnv], None] = lambda envs: None,
) -> tuple[list[float], list[int]]:
    """Plays inner episodes with a policy that always takes its most probable action.

    Observations are normalised as in training, with statistics that no longer change. Returns are
    undiscounted sums of raw rewards; on Atari an episode is a whole game.

    Args:
        config: What the run did that trained the policy (`HyperRLEnv.inner_run_config`).
        state: A result of `policy_state`.
        episodes: How many, one after the other in one inner environment.
        seed: Seeds the inner environment.
        prepare: Called with the inner environments, before the first episode.

    Returns:
        Returns and lengths of the episodes.

    Raises:
        ValueError: The policy is that of a model of the user's, on environments that are the user's.
        CheckpointError: The state is not that of a policy of this configuration.
        InnerEnvError: The inner environment could not be made.
    """
    if not isinstance(config, InnerRunConfig):
        raise ValueError(
            "A model of yours is evaluated on an environment of yours: "
            "stable_baselines3.common.evaluation.evaluate_policy(model, env)."
        )
    run = replace(config, backend="eager", n_envs=1).new_run(seed)
    try:
        learner = run.learner
        assert learner.env is not None
        _load(learner, state)
        prepare(learner.env)
        with run.own_random_state():
            returns, lengths = evaluate_policy(
                learner, learner.env, n_eval_episodes=episodes, return_episode_rewards=True, warn=False
            )
    finally:
        run.close()
    assert isinstance(returns, list)
    assert isinstance(lengths, list)
    return [float(value) for value in returns], [int(length) for length in lengths]


def _load(learner: InnerLearner, state: Mapping[str, Any]) -> None:
    normalizer = learner.get_vec_normalize_env()
    own = {} if normalizer is None else running_statistics(normalizer)
    try:
        if set(own) != set(state["scales"]):
            raise ValueError("it is not normalised alike")
        learner.policy.load_state_dict(state["parameters"])
        for name, running in own.items():
            running.mean, running.var, running.count = state["scales"][name]
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"The policy is that of another configuration: {error}") from error
    if isinstance(normalizer, VecNormalize):
        normalizer.training = normalizer.norm_reward = False
