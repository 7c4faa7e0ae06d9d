"""Bad input is refused early, with a message that says what would be right."""

import math
import re
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.error import DependencyNotInstalled, InvalidAction, NameNotFound, ResetNeeded
from stable_baselines3.common.logger import configure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hyperrl_env import HYPER_REWARDS, PRESETS, TASKS, HyperRLEnv
from hyperrl_env.learners import learner_class
from hyperrl_env.settings import get_settings

MODES = ["discrete", "multi_discrete", "box"]


def refused(make, *parts, error=ValueError, **kwargs):
    with pytest.raises(error) as caught:
        make(**kwargs)
    for part in parts:
        assert str(part) in str(caught.value)


def test_an_unknown_id_proposes_one_that_exists():
    with pytest.raises(NameNotFound, match="HyperRL-PPO-Hopper"):
        gym.make("HyperRL-PPO-Hoper-v0")


def test_an_unknown_inner_id_is_named(make_env):
    refused(make_env, "NoSuchEnv", env_id="NoSuchEnv-v3", error=gym.error.Error)


def test_an_unknown_task_lists_the_tasks():
    names = [name for name, task in TASKS.items() if task.family != "atari"]
    refused(HyperRLEnv, "'Hoper'", *names, "Atari", "Pong", "mean 'Hopper'", task="Hoper")
    refused(get_settings, "'Hoper'", *names, "Atari", "'Pong'", algorithm="A2C", task="Hoper")


def test_an_unknown_algorithm_lists_the_algorithms():
    refused(HyperRLEnv, "'SAC'", "PPO", "A2C", "ACKTR", algorithm="SAC", env_id="CartPole-v1")
    refused(learner_class, "'SAC'", "PPO", "A2C", "ACKTR", algorithm="SAC")


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"search_space": "no-such"}, ["'no-such'", *PRESETS]),
        ({"search_space": ["learning_rte"]}, ["'learning_rte'", "learning_rate", "clip_range"]),
        ({"search_space": []}, ["at least one"]),
        ({"search_space": ["gamma", "gamma"]}, ["once"]),
        # Known, but not what this algorithm has.
        ({"search_space": ["kl_clip"]}, ["'kl_clip'", "learning_rate", "gae_lambda"]),
        ({"action_mode": "continuous"}, ["'continuous'", *MODES]),
        ({"observation": "diagnostic"}, ["'diagnostic'", "hyper_state", "diagnostics", "both"]),
        ({"decision": "minibatch"}, ["'minibatch'", "update", "epoch", "phase"]),
        ({"hyper_reward": "return"}, ["'return'", *HYPER_REWARDS, "callable"]),
        ({"backend": "quick"}, ["'quick'", "auto", "eager"]),
        ({"vec_backend": "subproc"}, ["'subproc'", "gymnasium", "envpool"]),
        ({"learner_kwargs": {"lr": 1e-3}}, ["'lr'", "learning_rate", "n_steps"]),
        ({"learner_kwargs": {"device": "cpu"}}, ["'device'"]),
        ({"learner_kwargs": {"tensorboard_log": "logs"}}, ["tensorboard_log", "hyperrl train", "set_logger"]),
        ({"env_id": None}, ["env_id", "env_fn"]),
        ({"n_envs": 0}, ["n_envs", "at least 1", "0"]),
        ({"n_envs": -2}, ["n_envs", "at least 1", "-2"]),
        ({"order": -1}, ["order", "at least 0", "-1"]),
        ({"projection_dim": 0}, ["projection_dim", "at least 1", "0"]),
        ({"learning_episode_phases": 0}, ["learning_episode_phases", "at least 1", "0"]),
        # 16 steps of one environment are an environment phase.
        ({"total_env_steps": 15}, ["total_env_steps", "16", "n_steps * n_envs", "15"]),
        ({"total_env_steps": 47, "n_envs": 3}, ["total_env_steps", "48", "47"]),
        ({"total_env_steps": 0}, ["total_env_steps", "16"]),
    ],
    ids=str,
)
def test_a_bad_argument(make_env, kwargs, parts):
    refused(make_env, *parts, **kwargs)


def test_two_inner_environments(scripted_env):
    refused(HyperRLEnv, "env_id", "env_fn", "not both", env_id="CartPole-v1", env_fn=scripted_env)


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"search_space": ["clip_range"]}, ["'clip_range'", "kl_clip", "damping"]),
        ({"backend": "quick"}, ["'quick'", "auto", "eager"]),
        ({"learner_kwargs": {"kl_clp": 1e-3}}, ["'kl_clp'", "kl_clip", "inversion_interval"]),
        ({"learner_kwargs": {"max_grad_norm": 1.0}}, ["'max_grad_norm'", "kl_clip"]),
        ({"learner_kwargs": {"kl_clip": 0.0}}, ["kl_clip=0", "(0, inf"]),
        ({"learner_kwargs": {"damping": -1}}, ["damping=-1", "(0, inf"]),
        ({"learner_kwargs": {"momentum": 1}}, ["momentum=1", "[0, 0.999]"]),
        ({"learner_kwargs": {"weight_decay": -1e-4}}, ["weight_decay=-0.0001", "[0, inf"]),
        ({"learner_kwargs": {"stats_interval": 0}}, ["stats_interval=0", "integers", "[1, inf"]),
        ({"learner_kwargs": {"inversion_interval": 1.5}}, ["inversion_interval=1.5", "integers"]),
        (
            {"learner_kwargs": {"policy_kwargs": {"optimizer_class": torch.optim.Adam}}},
            ["K-FAC", "optimizer_class", "policy_kwargs"],
        ),
    ],
    ids=str,
)
def test_a_bad_argument_of_acktr(make_env, kwargs, parts):
    refused(make_env, *parts, name="ACKTR", **kwargs)


@pytest.mark.parametrize("render_mode", ["rgb", "text"])
def test_an_unknown_render_mode(render_mode):
    refused(
        HyperRLEnv,
        repr(render_mode),
        "rgb_array",
        "human",
        "ansi",
        env_id="CartPole-v1",
        render_mode=render_mode,
    )


@pytest.mark.parametrize("value", [1.5, "2", 2.0, True], ids=repr)
@pytest.mark.parametrize(
    "name", ["n_envs", "total_env_steps", "order", "projection_dim", "learning_episode_phases"]
)
def test_what_counts_is_a_whole_number(make_env, name, value):
    refused(make_env, name, repr(value), **{name: value})


@pytest.mark.parametrize("name", ["n_envs", "total_env_steps", "order", "projection_dim"])
def test_a_numpy_integer_is_a_whole_number(make_env, name):
    value = {"n_envs": 1, "total_env_steps": 16, "order": 1, "projection_dim": 2}[name]
    make_env(**{name: np.int64(value)}).reset(seed=0)


def test_a_keyword_of_the_inner_environment_that_it_does_not_have(make_env):
    refused(make_env, "no_such", env_kwargs={"no_such": 1}, error=TypeError)


def test_normalisation_of_what_is_no_number(make_env):
    refused(make_env, "normalize", "Discrete(16)", env_id="FrozenLake-v1", normalize=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_steps", "many"),
        ("n_steps", 0),
        ("batch_size", 12.5),
        ("learning_rate", -1e-3),
        ("gamma", 1.5),
        ("gae_lambda", None),
        ("ent_coef", float("nan")),
    ],
)
def test_a_learners_hyperparameter_outside_its_domain(make_env, name, value):
    refused(make_env, name, learner_kwargs={name: value})


def test_the_arguments_of_the_user_are_not_changed(make_env):
    """Stable-Baselines3 writes its optimiser into `policy_kwargs`."""
    policy_kwargs = {"net_arch": [8]}
    learner_kwargs = {"policy_kwargs": policy_kwargs, "learning_rate": 1e-3}
    make_env("A2C", learner_kwargs=learner_kwargs).reset(seed=0)
    assert policy_kwargs == {"net_arch": [8]}
    assert learner_kwargs == {"policy_kwargs": policy_kwargs, "learning_rate": 1e-3}


def test_tensorboard_is_written_as_the_refusal_of_tensorboard_log_says(make_env, tmp_path):
    env = make_env(
        learner_kwargs={"n_steps": 16, "batch_size": 16, "tensorboard_log": None}, decision="phase"
    )
    env.reset(seed=0)
    learner = env.learner
    learner.set_logger(configure(str(tmp_path), ["tensorboard"]))
    *_, info = env.step(0)
    assert "phase_stats" in info
    learner.logger.dump(info["env_steps"])
    learner.logger.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    (loss,) = events.Scalars("train/loss")
    assert loss.step == info["env_steps"] == 32
    assert loss.value == pytest.approx(info["phase_stats"]["loss"], rel=1e-6)


# ---------------------------------------------------------------- what is not installed


@pytest.mark.parametrize(
    ("package", "module", "env_id", "extra"),
    [
        ("Box2D", "gymnasium.envs.box2d", "BipedalWalker-v3", "--constraint constraints.txt '.[box2d]'"),
        ("Box2D", "gymnasium.envs.box2d", "BipedalWalker", "'.[box2d]'"),
        ("mujoco", "gymnasium.envs.mujoco", "Hopper-v5", "'gymnasium[mujoco]'"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*Using the latest versioned environment")
def test_a_missing_extra_is_named(monkeypatch, make_env, package, module, env_id, extra):
    for name in list(sys.modules):
        if name == package or name.startswith((module, f"{package}.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyNotInstalled, match=f"{env_id}.*{re.escape(extra)}"):
        make_env(env_id=env_id)
    task = env_id.split("-")[0]
    with pytest.raises(DependencyNotInstalled, match=f"{env_id}.*{re.escape(extra)}"):
        make_env(f"HyperRL-PPO-{task}-v0", total_env_steps=4096)


def test_a_missing_envpool_is_named(monkeypatch, make_env):
    for name in ("envpool", "envpool.registration"):  # the latter may be loaded already
        monkeypatch.setitem(sys.modules, name, None)
    install = "pip install --constraint constraints.txt '.[envpool]'"
    refused(make_env, install, vec_backend="envpool", error=DependencyNotInstalled)


def test_what_the_users_own_environment_misses_is_named(make_env):
    def env_fn():
        import no_such_package  # noqa: F401

    refused(make_env, "no_such_package", env_fn=env_fn, error=DependencyNotInstalled)
    refused(make_env, "'no_such_package'", env_id="no_such_package:Mine-v0", error=DependencyNotInstalled)


# ---------------------------------------------------------------- step and reset


@pytest.mark.parametrize("wrapped", [False, True])
def test_step_before_reset(make_env, wrapped):
    env = make_env()
    env = gym.make(env.spec) if wrapped else env
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(0)
    with pytest.raises(ResetNeeded, match="reset"):
        env.render()
    env.close()


@pytest.mark.parametrize("what", ["learner", "hyper_state_tensors"])
def test_there_is_no_learner_before_reset(make_env, what):
    env = make_env()
    with pytest.raises(ResetNeeded, match="reset"):
        env.hyper_state_tensors() if what == "hyper_state_tensors" else env.learner


def test_step_after_the_end_of_a_learning_episode(make_env):
    env = make_env(decision="phase")
    env.reset(seed=0)
    *_, terminated, _, _ = env.step(0)
    assert terminated
    with pytest.raises(ResetNeeded, match=r"over.*reset\(\)"):
        env.step(0)
    env.reset()
    env.step(0)


def test_step_after_the_end_of_a_run(make_env, run_to_end):
    env = make_env()
    run_to_end(env, 0)
    with pytest.raises(ResetNeeded):
        env.step(0)


BAD_ACTIONS = {
    "discrete": [-1, 225, 1.0, 0.5, math.nan, None, "0", [0], np.zeros(4, int), {}],
    "multi_discrete": [
        0,
        None,
        "0000",
        [0, 0, 0],
        [0, 0, 0, 3],
        [-1, 0, 0, 0],
        [0.5, 0, 0, 0],
        [math.nan, 0, 0, 0],
        np.zeros((1, 4), int),
        {},
    ],
    "box": [
        0,
        None,
        "abcd",
        [0, 0, 0],
        [0, 0, 0, 1.001],
        [-1.001, 0, 0, 0],
        [math.nan, 0, 0, 0],
        [math.inf, 0, 0, 0],
        np.full(4, np.nan, np.float32),
        np.zeros((1, 4), np.float32),
        {},
    ],
}


@pytest.mark.parametrize(
    ("mode", "action"), [(mode, action) for mode in MODES for action in BAD_ACTIONS[mode]], ids=repr
)
def test_an_action_outside_the_space(make_env, bits_of, mode, action):
    # All four have all their bins: 3 * 5 * 5 * 3 = 225.
    env = make_env(action_mode=mode)
    env.reset(seed=0)
    before = bits_of(env.learner)
    with pytest.raises(InvalidAction, match="is not in the action space"):
        env.step(action)
    assert bits_of(env.learner) == before
    env.step(env.default_action)


def test_an_unknown_reset_option(make_env):
    env = make_env()
    with pytest.raises(ValueError, match=r"newrun.*new_run"):
        env.reset(options={"newrun": True})


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_an_impossible_seed_does_not_cost_the_run(make_env, seed):
    env = make_env()
    env.reset(seed=0)
    with pytest.raises((ValueError, gym.error.Error)):
        env.reset(seed=seed)
    env.step(0)
