"""With the default action at every step the learner ends with the bits of Stable-Baselines3's `learn()`.

The other side of every comparison is built from Stable-Baselines3 alone; for ACKTR, which it does not
have, from this project's `ACKTR` and its `learn()`.
"""

from inspect import signature
from itertools import product

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecNormalize

from hyperrl_env import Hyperparameter
from hyperrl_env.learners import ACKTR

ALGORITHMS = {"PPO": PPO, "A2C": A2C, "ACKTR": ACKTR}
KWARGS = {
    "PPO": {"n_steps": 24, "batch_size": 8, "n_epochs": 3},
    "A2C": {"n_steps": 7},
    "ACKTR": {"n_steps": 7},
}
CARTPOLE, PENDULUM, HOPPER = "CartPole-v1", "Pendulum-v1", "Hopper-v5"
DECAYED = LinearSchedule(1e-3, 0.0, 1.0)


def plain_sb3(algorithm, env, kwargs, *, n_envs, normalize, total, seed, policy="MlpPolicy"):
    envs = make_vec_env(env, n_envs=n_envs)
    if normalize:
        envs = VecNormalize(envs, gamma=kwargs.get("gamma", 0.99))
    model = ALGORITHMS[algorithm](policy, envs, seed=seed, device="cpu", **kwargs)
    model.learn(total)
    envs.close()
    return model


@pytest.fixture
def same_bits(make_env, bits_of, run_to_end):
    """Trains both ways, compares every bit, and returns the plain model."""

    def check(algorithm, env, kwargs, *, n_envs=1, normalize=False, total=None, seed=3, phases=3, **more):
        # Three phases and a piece of a fourth, so that the budget is no multiple of the rollout.
        total = phases * kwargs["n_steps"] * n_envs + 5 if total is None else total
        plain = plain_sb3(algorithm, env, kwargs, n_envs=n_envs, normalize=normalize, total=total, seed=seed)
        hyper = make_env(
            algorithm,
            **{"env_id" if isinstance(env, str) else "env_fn": env},
            learner_kwargs=kwargs,
            n_envs=n_envs,
            normalize=normalize,
            total_env_steps=total,
            backend="eager",
            **more,
        )
        info = run_to_end(hyper, seed)
        assert info["phase"] >= 3
        expected, found = bits_of(plain), bits_of(hyper.learner.model)
        assert [name for name in expected if found.get(name) != expected[name]] == []
        assert found.keys() == expected.keys()
        assert info["env_steps"] == plain.num_timesteps >= total
        return plain

    return check


@pytest.mark.parametrize(
    ("algorithm", "env_id", "n_envs", "normalize", "learning_rate"),
    list(product(ALGORITHMS, (CARTPOLE, PENDULUM, HOPPER), (1, 3), (False, True), (1e-3, DECAYED))),
    ids=lambda value: "decayed" if value is DECAYED else None,
)
def test_every_tensor_is_the_same(same_bits, algorithm, env_id, n_envs, normalize, learning_rate):
    kwargs = KWARGS[algorithm] | {"learning_rate": learning_rate}
    same_bits(algorithm, env_id, kwargs, n_envs=n_envs, normalize=normalize)


PPO_OPTIONS = {
    "clip_range decayed": {"clip_range": LinearSchedule(0.3, 0.05, 0.8)},
    "clip_range_vf": {"clip_range_vf": 0.05},
    "both clips decayed": {
        "clip_range": LinearSchedule(0.3, 0.0, 1.0),
        "clip_range_vf": LinearSchedule(0.2, 0.01, 1.0),
    },
    "clip_range_vf with clip_range": {"clip_range": 0.07, "clip_range_vf": 0.3},
    "no advantage normalisation": {"normalize_advantage": False},
    "discounts": {"gamma": 0.9, "gae_lambda": 0.8},
    "coefficients": {"ent_coef": 0.03, "vf_coef": 0.9, "max_grad_norm": 0.1},
    "small network": {"policy_kwargs": {"net_arch": [5]}},
    "learning rate in steps": {"learning_rate": lambda p: 1e-3 if p > 0.5 else 1e-4},
}


@pytest.mark.parametrize("option", PPO_OPTIONS)
@pytest.mark.parametrize("env_id", [CARTPOLE, PENDULUM])
def test_ppo_with_other_settings(same_bits, env_id, option):
    kwargs = KWARGS["PPO"] | {"learning_rate": 3e-3} | PPO_OPTIONS[option]
    same_bits("PPO", env_id, kwargs, n_envs=2, normalize=True)


def test_ppo_with_state_dependent_exploration(same_bits):
    same_bits("PPO", PENDULUM, KWARGS["PPO"] | {"use_sde": True, "sde_sample_freq": 4}, n_envs=2)


A2C_OPTIONS = {
    "Adam": {"use_rms_prop": False},
    "advantage normalisation": {"normalize_advantage": True},
    "discounts": {"gamma": 0.9, "gae_lambda": 0.8},
    "coefficients": {"ent_coef": 0.03, "vf_coef": 0.9, "max_grad_norm": 0.1},
    "state-dependent exploration": {"use_sde": True},
    "epsilon": {"rms_prop_eps": 1e-3},
}


@pytest.mark.parametrize("option", A2C_OPTIONS)
def test_a2c_with_other_settings(same_bits, option):
    kwargs = KWARGS["A2C"] | A2C_OPTIONS[option]
    same_bits("A2C", PENDULUM, kwargs, n_envs=2, normalize=True, phases=6)


ACKTR_OPTIONS = {
    "intervals": {"stats_interval": 2, "inversion_interval": 3},
    "advantage normalisation": {"normalize_advantage": True},
    "coefficients": {"ent_coef": 0.03, "vf_coef": 0.9, "kl_clip": 0.01, "damping": 0.1, "momentum": 0.5},
    "weight decay": {"weight_decay": 0.01, "stats_decay": 0.9},
    "state-dependent exploration": {"use_sde": True},
    "small network": {"policy_kwargs": {"net_arch": [5], "activation_fn": torch.nn.ReLU}},
}


@pytest.mark.parametrize("option", ACKTR_OPTIONS)
def test_acktr_with_other_settings(same_bits, option):
    kwargs = KWARGS["ACKTR"] | ACKTR_OPTIONS[option]
    same_bits("ACKTR", PENDULUM, kwargs, n_envs=2, normalize=True, phases=7)


CONSTANTS = {
    "learning_rate": 2e-3,
    "clip_range": 0.07,
    "gae_lambda": 0.6,
    "gamma": 0.7,
    "n_epochs": 5,
    "ent_coef": 0.03,
    "vf_coef": 0.9,
    "max_grad_norm": 0.1,
    "kl_clip": 0.01,
    "damping": 0.1,
    "momentum": 0.5,
    "weight_decay": 0.01,
    "stats_interval": 2,
    "inversion_interval": 3,
}


def short_pendulum():
    # Episodes that a time limit cuts, so that discounts act on bootstraps too.
    return gym.make("Pendulum-v1", max_episode_steps=10)


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [(a, n) for a, cls in ALGORITHMS.items() for n in CONSTANTS if n in signature(cls).parameters],
)
def test_a_value_held_from_the_first_update_on_is_sb3_with_that_value(
    make_env, bits_of, run_to_end, algorithm, name
):
    kwargs, value = KWARGS[algorithm], CONSTANTS[name]
    # With its own gamma VecNormalize would keep to the task's.
    normalize = name != "gamma"
    plain = plain_sb3(
        algorithm, short_pendulum, kwargs | {name: value}, n_envs=2, normalize=normalize, total=200, seed=3
    )
    hyper = make_env(
        algorithm,
        env_fn=short_pendulum,
        learner_kwargs=kwargs,
        n_envs=2,
        normalize=normalize,
        total_env_steps=200,
        search_space=[Hyperparameter(name, values=(value,))],
        action_mode="multi_discrete",
    )
    hyper.reset(seed=3)
    run_to_end(hyper, 3, lambda: hyper.search_space.action({name: value}))
    expected, found = bits_of(plain), bits_of(hyper.learner)
    assert [part for part in expected if found.get(part) != expected[part]] == []


@pytest.mark.parametrize(
    ("batch_size", "n_envs"),
    [
        pytest.param(9, 1, id="remainder 6, more than half a batch"),
        pytest.param(10, 1, id="remainder 4, less than half a batch"),
        pytest.param(23, 1, id="remainder 1"),
        pytest.param(16, 2, id="no remainder"),
        pytest.param(7, 2, id="remainder 6 of several environments"),
        pytest.param(100, 1, id="batch larger than the rollout"),
    ],
)
# Stable-Baselines3 warns of a truncated minibatch.
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size of:UserWarning")
def test_batches_that_do_not_divide_the_rollout(same_bits, batch_size, n_envs):
    kwargs = KWARGS["PPO"] | {"batch_size": batch_size}
    same_bits("PPO", CARTPOLE, kwargs, n_envs=n_envs)


@pytest.mark.parametrize("env_id", [CARTPOLE, PENDULUM])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_early_stopping_by_target_kl(same_bits, env_id, n_envs):
    kwargs = KWARGS["PPO"] | {"learning_rate": 1e-2, "n_epochs": 6, "target_kl": 0.02}
    plain = same_bits("PPO", env_id, kwargs, n_envs=n_envs)
    assert plain._n_updates < 4 * 6, "no phase was stopped early, so that nothing was tested"


@pytest.mark.parametrize("action_mode", ["discrete", "multi_discrete", "box"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_action_mode_has_an_exact_default(same_bits, algorithm, action_mode):
    # Defaults that no float32 holds and that lie at no end of their bins; two of them decay.
    kwargs = KWARGS[algorithm] | {"learning_rate": LinearSchedule(7.1e-4, 0.0, 1.0), "gae_lambda": 0.937}
    names = ["learning_rate", "gae_lambda", "gamma", "ent_coef", "vf_coef", "n_steps"]
    if algorithm == "ACKTR":
        names += ["kl_clip", "stats_interval", "inversion_interval", "momentum"]
    else:
        names += ["max_grad_norm"]
    if algorithm == "PPO":
        kwargs |= {"clip_range": LinearSchedule(0.23, 0.1, 1.0), "gamma": 0.981, "max_grad_norm": 0.37}
        names += ["clip_range", "batch_size", "n_epochs"]
    # The joint choice of all of them is no int64 to enumerate twice: four are enough in "discrete".
    names = names[:2] + names[-2:] if action_mode == "discrete" else names
    same_bits(algorithm, PENDULUM, kwargs, normalize=True, search_space=names, action_mode=action_mode)


@pytest.mark.parametrize("decision", ["update", "epoch", "phase"])
@pytest.mark.parametrize("learning_episode_phases", [1, 2, None])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_however_the_run_is_cut_into_decisions_and_episodes(
    same_bits, algorithm, decision, learning_episode_phases
):
    same_bits(
        algorithm,
        CARTPOLE,
        KWARGS[algorithm],
        decision=decision,
        learning_episode_phases=learning_episode_phases,
    )


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("hyper_reward", ["episode_return", "value_target", "improvement"])
def test_observation_and_reward_change_nothing(same_bits, order, hyper_reward):
    same_bits("A2C", CARTPOLE, KWARGS["A2C"], order=order, hyper_reward=hyper_reward, projection_dim=2)


@pytest.mark.parametrize("multiple", [False, True])
def test_a_budget_that_is_a_multiple_of_the_rollout(same_bits, multiple):
    plain = same_bits("PPO", CARTPOLE, KWARGS["PPO"], total=72 if multiple else 73)
    assert plain.num_timesteps == (72 if multiple else 96)


class Odd(gym.Env):
    """Dictionary observations, several discrete actions, time limits."""

    observation_space = spaces.Dict(
        {"a": spaces.Box(-1, 1, (3,), np.float32), "b": spaces.Box(-1, 1, (2,), np.float32)}
    )
    action_space = spaces.MultiDiscrete([2, 3])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {}

    def _observation(self):
        a, b = self.np_random.uniform(-1, 1, 3), self.np_random.uniform(-1, 1, 2)
        return {"a": a.astype(np.float32), "b": b.astype(np.float32)}

    def step(self, action):
        self.t += 1
        return self._observation(), float(action.sum()), False, self.t == 9, {}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("normalize", [False, True])
def test_an_environment_of_ones_own(make_env, bits_of, run_to_end, algorithm, normalize):
    kwargs = KWARGS[algorithm]
    plain = plain_sb3(
        algorithm, Odd, kwargs, n_envs=2, normalize=normalize, total=200, seed=1, policy="MultiInputPolicy"
    )
    hyper = make_env(
        algorithm, env_fn=Odd, learner_kwargs=kwargs, n_envs=2, normalize=normalize, total_env_steps=200
    )
    run_to_end(hyper, 1)
    assert bits_of(hyper.learner) == bits_of(plain)


# The settings of the task ids, written out once more.
PPO_TASK = {
    "learning_rate": LinearSchedule(3e-4, 0.0, 1.0),
    "n_steps": 2048,
    "batch_size": 64,
    "n_epochs": 10,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "clip_range_vf": 0.2,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "policy_kwargs": {"net_arch": {"pi": [64, 64], "vf": [64, 64]}, "optimizer_kwargs": {"eps": 1e-5}},
}
A2C_TASK = {
    "learning_rate": LinearSchedule(7e-4, 0.0, 1.0),
    "n_steps": 5,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "ent_coef": 0.01,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "rms_prop_eps": 1e-5,
    "policy_kwargs": {"net_arch": {"pi": [64, 64], "vf": [64, 64]}},
}
ACKTR_TASK = {
    "learning_rate": LinearSchedule(0.25, 0.0, 1.0),
    "n_steps": 20,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "kl_clip": 0.001,
    "damping": 0.01,
    "momentum": 0.9,
    "stats_interval": 1,
    "inversion_interval": 10,
    "policy_kwargs": {"net_arch": {"pi": [64, 64], "vf": [64, 64]}},
}


@pytest.mark.parametrize(
    ("algorithm", "task", "env_id", "n_envs", "fewer"),
    [
        ("PPO", "Hopper", "Hopper-v5", 1, {"n_steps": 512}),
        ("PPO", "HalfCheetah", "HalfCheetah-v5", 1, {"n_steps": 192}),
        ("PPO", "LunarLanderContinuous", "LunarLanderContinuous-v3", 1, {"n_steps": 128}),
        ("PPO", "CartPole", "CartPole-v1", 1, {"n_steps": 128}),
        ("A2C", "HalfCheetah", "HalfCheetah-v5", 16, {}),
        ("A2C", "BipedalWalker", "BipedalWalker-v3", 128, {}),
        ("A2C", "MountainCarContinuous", "MountainCarContinuous-v0", 1, {}),
        ("A2C", "MountainCar", "MountainCar-v0", 1, {}),
        ("A2C", "Pendulum", "Pendulum-v1", 8, {}),
        ("ACKTR", "HalfCheetah", "HalfCheetah-v5", 16, {}),
        ("ACKTR", "CartPole", "CartPole-v1", 8, {}),
    ],
)
def test_the_task_ids(make_env, bits_of, run_to_end, algorithm, task, env_id, n_envs, fewer):
    kwargs = {"PPO": PPO_TASK, "A2C": A2C_TASK, "ACKTR": ACKTR_TASK}[algorithm] | fewer
    if (algorithm, task) == ("ACKTR", "CartPole"):
        kwargs["gae_lambda"] = 1.0
    total = 3 * kwargs["n_steps"] * n_envs
    plain = plain_sb3(algorithm, env_id, kwargs, n_envs=n_envs, normalize=True, total=total, seed=11)
    hyper = make_env(
        f"HyperRL-{algorithm}-{task}-v0", total_env_steps=total, learner_kwargs=fewer, backend="eager"
    )
    assert run_to_end(hyper, 11)["phase"] == 3
    expected, found = bits_of(plain), bits_of(hyper.learner)
    assert [name for name in expected if found.get(name) != expected[name]] == []


def test_the_model_stays_an_sb3_model(make_env, run_to_end, tmp_path):
    env = make_env()
    run_to_end(env, 0)
    model = env.learner.model
    observation = np.linspace(-0.1, 0.1, 4, dtype=np.float32)
    model.save(tmp_path / "model.zip")
    loaded = PPO.load(tmp_path / "model.zip", device="cpu")
    for name, value in model.policy.state_dict().items():
        assert value.equal(loaded.policy.state_dict()[name])
    assert (
        model.predict(observation, deterministic=True)[0]
        == loaded.predict(observation, deterministic=True)[0]
    )
    model.learn(32)
    assert model.num_timesteps == 32


def test_the_model_can_learn_on_whatever_was_chosen(make_env):
    env = make_env(search_space=[Hyperparameter("n_steps", values=(4, 32))], action_mode="multi_discrete")
    for choice in (0, 2):
        env.reset(seed=0)
        env.step(np.array([choice]))
        env.learner.model.learn(64)
        assert env.learner.model.num_timesteps == 64


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_comparison_sees_a_difference(make_env, bits_of, run_to_end, algorithm):
    """One update with another value shows: the tests above could fail."""
    env = make_env(algorithm, search_space=["vf_coef"])
    run_to_end(env, 0)
    default = bits_of(env.learner)
    actions = iter([0])
    run_to_end(env, 0, lambda: next(actions, env.default_action))
    different = {name for name, value in bits_of(env.learner).items() if value != default[name]}
    assert any(name.startswith("policy.") for name in different)
    assert any(name.startswith("optimiser.") for name in different)
