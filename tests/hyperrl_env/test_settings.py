"""Starting points: the Zoo's are those of its files, and train as plain Stable-Baselines3 does with them."""

import warnings

import gymnasium as gym
import pytest
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecNormalize

import hyperrl_env
from hyperrl_env.settings import ZOO, get_settings


def linear(start):
    return LinearSchedule(start, 0.0, 1.0)


# (algorithm, task, inner id, environments, normalised, keywords): as in the Zoo's files.
ROWS = {
    "ppo-cartpole": (
        *(PPO, "CartPole", "CartPole-v1", 8, False),
        {
            **{"n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20},
            **{"ent_coef": 0.0, "learning_rate": linear(0.001), "clip_range": linear(0.2)},
        },
    ),
    "ppo-pendulum-gsde": (
        *(PPO, "Pendulum", "Pendulum-v1", 4, False),
        {
            **{"n_steps": 1024, "gae_lambda": 0.95, "gamma": 0.9, "n_epochs": 10, "ent_coef": 0.0},
            **{"learning_rate": 1e-3, "clip_range": 0.2, "use_sde": True, "sde_sample_freq": 4},
        },
    ),
    "ppo-mountaincarcontinuous-gsde": (
        *(PPO, "MountainCarContinuous", "MountainCarContinuous-v0", 1, True),
        {
            **{"batch_size": 256, "n_steps": 8, "gamma": 0.9999, "learning_rate": 7.77e-05},
            **{"ent_coef": 0.00429, "clip_range": 0.1, "n_epochs": 10, "gae_lambda": 0.9},
            **{"max_grad_norm": 5, "vf_coef": 0.19, "use_sde": True},
            "policy_kwargs": {"log_std_init": -3.29, "ortho_init": False},
        },
    ),
    "ppo-inverteddoublependulum": (
        *(PPO, "InvertedDoublePendulum", "InvertedDoublePendulum-v5", 1, True),
        {
            **{"batch_size": 512, "n_steps": 128, "gamma": 0.98, "learning_rate": 0.000155454},
            **{"ent_coef": 1.05057e-06, "clip_range": 0.4, "n_epochs": 10, "gae_lambda": 0.8},
            **{"max_grad_norm": 0.5, "vf_coef": 0.695929},
        },
    ),
    "a2c-pendulum-gsde": (
        *(A2C, "Pendulum", "Pendulum-v1", 8, True),
        {
            **{"ent_coef": 0.0, "max_grad_norm": 0.5, "n_steps": 8, "gae_lambda": 0.9, "vf_coef": 0.4},
            **{"gamma": 0.9, "use_rms_prop": True, "normalize_advantage": False},
            **{"learning_rate": linear(7e-4), "use_sde": True},
            "policy_kwargs": {"log_std_init": -2, "ortho_init": False},
        },
    ),
    "a2c-swimmer": (A2C, "Swimmer", "Swimmer-v5", 1, True, {"gamma": 0.9999}),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_zoos_settings_train_as_plain_sb3_with_the_zoos_values(name):
    algorithm, task, inner, n_envs, normalize, kwargs = ROWS[name]
    budget = 2 * kwargs.get("n_steps", 5) * n_envs
    env = gym.make(
        f"HyperRL-{algorithm.__name__}-{task}-v0", settings="zoo", backend="eager", total_env_steps=budget
    )
    _, info = env.reset(seed=3)
    while not info["run_finished"]:
        *_, terminated, truncated, info = env.step(env.unwrapped.default_action)
        if (terminated or truncated) and not info["run_finished"]:
            env.reset()
    envs = make_vec_env(inner, n_envs=n_envs)
    if normalize:
        envs = VecNormalize(envs, gamma=kwargs.get("gamma", 0.99))
    with warnings.catch_warnings():
        # Batches larger than the rollout.
        warnings.simplefilter("ignore")
        model = algorithm("MlpPolicy", envs, seed=3, device="cpu", **kwargs).learn(budget)
    ours = env.unwrapped.learner.policy.state_dict()
    for key, theirs in model.policy.state_dict().items():
        assert torch.equal(ours[key], theirs), key


@pytest.mark.parametrize("task", ["Hopper", "Pong"])
@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "ACKTR"])
def test_sb3_means_its_defaults_with_the_tasks_budget(algorithm, task):
    settings, own = get_settings(algorithm, task, "sb3"), get_settings(algorithm, task)
    assert (settings.learner_kwargs, settings.n_envs, settings.normalize) == ({}, 1, False)
    assert settings.total_env_steps == own.total_env_steps
    assert settings.search_space is own.search_space


def test_multiples_are_those_of_the_starting_point_and_absolute_bins_include_it():
    env = gym.make("HyperRL-PPO-HalfCheetah-v0", settings="zoo").unwrapped
    space = env.search_space
    values = space.values(space.action({"learning_rate": 2 * 2.0633e-05}))
    assert values == {"learning_rate": 4.1266e-05, "clip_range": 0.1, "gae_lambda": 0.92, "batch_size": 64}
    assert space.bins["gae_lambda"] == (0.9, 0.92, 0.925, 0.95, 0.975, 0.99)


def test_the_zoo_is_found_by_the_name_of_an_inner_environment_without_an_id_of_its_own():
    env = gym.make("HyperRL-PPO-v0", env_id="Acrobot-v1", settings="zoo").unwrapped
    assert (env.total_env_steps, env.family) == (1_000_000, "generic")
    env.reset(seed=0)
    assert (env.learner.n_envs, env.learner.n_steps, env.learner.gae_lambda) == (16, 256, 0.94)
    assert env.learner.get_vec_normalize_env() is not None


def test_what_is_given_overrides_the_starting_point():
    env = gym.make(
        "HyperRL-PPO-CartPole-v0", settings="zoo", n_envs=16, normalize=True, learner_kwargs={"gamma": 0.5}
    ).unwrapped
    env.reset(seed=0)
    assert (env.learner.n_envs, env.learner.gamma, env.learner.gae_lambda) == (16, 0.5, 0.8)
    assert env.learner.get_vec_normalize_env() is not None


def test_every_row_of_the_zoo_makes_an_environment():
    for (algorithm, name), settings in ZOO.items():
        task = hyperrl_env.TASKS.get(name)
        if task is not None and task.family != "atari":
            env = gym.make(f"HyperRL-{algorithm}-{name}-v0", settings="zoo")
            assert env.unwrapped.total_env_steps == settings.total_env_steps
            assert env.unwrapped.inner_run_config.n_envs == settings.n_envs
    pytest.importorskip("cv2")
    gym.make("HyperRL-A2C-Pong-v0", settings="zoo")


@pytest.mark.parametrize(
    ("id_", "kwargs", "message"),
    [
        (
            "HyperRL-ACKTR-Hopper-v0",
            {"settings": "zoo"},
            "It has PPO and A2C",
        ),
        ("HyperRL-A2C-InvertedDoublePendulum-v0", {"settings": "zoo"}, "It has: HalfCheetah, .* Atari games"),
        ("HyperRL-PPO-v0", {"settings": "zoo", "env_id": "CliffWalking-v1"}, "Reacher.*settings='sb3'"),
        ("HyperRL-PPO-v0", {"settings": "zoo", "env_fn": lambda: gym.make("CartPole-v1")}, "give env_id"),
        ("HyperRL-PPO-v0", {"settings": "zoo", "env_id": "ALE/Pong-v5"}, "no settings for PPO on ALE/Pong"),
        ("HyperRL-PPO-Hopper-v0", {"settings": "Zoo"}, "Did you mean 'zoo'"),
        ("HyperRL-PPO-Hopper-v0", {"settings": 3}, "paper, zoo, sb3"),
    ],
)
def test_what_there_is_not_says_what_there_is(id_, kwargs, message):
    with pytest.raises(ValueError, match=message):
        gym.make(id_, **kwargs)
