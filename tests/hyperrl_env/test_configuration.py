"""What the constructor resolves: the user's settings over the task's, checked, frozen and named."""

import math
from dataclasses import FrozenInstanceError, fields
from inspect import signature

import pytest
import torch

from hyperrl_env import HYPER_REWARDS, HyperRLEnv
from hyperrl_env.configuration import resolve

DEFAULTS = {name: parameter.default for name, parameter in signature(HyperRLEnv).parameters.items()}
SMALL = {"n_steps": 16, "batch_size": 8, "n_epochs": 2}


def resolved(**arguments):
    small = {"env_id": "CartPole-v1", "total_env_steps": 40, "learner_kwargs": SMALL}
    return resolve(**{**DEFAULTS, **small, **arguments})


def test_it_takes_what_the_constructor_takes():
    assert list(signature(resolve).parameters) == list(DEFAULTS)


def test_what_is_not_given_is_the_tasks():
    config = resolve(**{**DEFAULTS, "task": "HalfCheetah"})
    run = config.inner_run
    assert (run.env, run.n_envs, run.normalize, run.atari) == ("HalfCheetah-v5", 1, True, False)
    assert (run.total_env_steps, config.rollout_size, config.family) == (1_000_000, 2048, "mujoco")
    assert config.phases_per_run == math.ceil(1_000_000 / 2048) == 489
    assert config.search_space.n_actions == 3 * 5 * 5 * 3
    assert config.hyper_reward is HYPER_REWARDS["discounted_return"]
    assert config.title == "PPO on HalfCheetah"


def test_what_is_given_goes_over_it():
    config = resolve(
        **{**DEFAULTS, "task": "CartPole", "n_envs": 2, "normalize": False, "learner_kwargs": SMALL}
    )
    run = config.inner_run
    assert (run.env, run.n_envs, run.normalize) == ("CartPole-v1", 2, False)
    assert (run.learner_kwargs["n_steps"], run.learner_kwargs["clip_range"]) == (16, 0.2)
    assert config.rollout_size == 32


def test_the_horizon_is_the_shortest_phase_that_can_be_chosen():
    assert resolved().horizon == 16
    assert resolved(search_space=["n_steps"]).horizon == 4  # a quarter


@pytest.mark.parametrize("order", [0, 2])
def test_the_shapes_behind_the_observation(order):
    """CartPole's two networks of 64, 64 and 2 actions or a value: weights (out, in), biases (1, out)."""
    network = [(64, 4), (1, 64), (64, 64), (1, 64)]
    heads = [(2, 64), (1, 2), (1, 64), (1, 1)]
    assert resolved(order=order).shapes == (*network, *network, *heads) * (1 + order)


def test_nothing_changes_it():
    config = resolved()
    for field in fields(config):
        with pytest.raises(FrozenInstanceError):
            setattr(config, field.name, None)


def test_the_identity_says_what_a_state_depends_on():
    identity = resolved().identity
    assert identity == resolved(render_mode="ansi").identity, "how a run is shown changes nothing of it"
    for changes in ({"order": 1}, {"hyper_reward": "value_target"}, {"n_envs": 2}, {"decision": "phase"}):
        assert resolved(**changes).identity != identity


def test_the_fallback_from_the_fast_backend_is_pointed_out_where_the_environment_is_made():
    kwargs = {**SMALL, "policy_kwargs": {"activation_fn": torch.nn.SiLU}}
    with pytest.warns(UserWarning, match="no closed form") as caught:
        HyperRLEnv(env_id="CartPole-v1", backend="fast", learner_kwargs=kwargs)
    assert caught[0].filename == __file__
