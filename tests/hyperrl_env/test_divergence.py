"""An update whose loss or gradient is not finite is refused, and nothing of it reaches the outside."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from hyperrl_env import Hyperparameter

# Runs are left unfinished here, and finished ones followed by others, which is said (see test_lifecycle.py).
pytestmark = pytest.mark.filterwarnings("ignore:.*starts a new.* with a new model:UserWarning")

KWARGS = {
    "PPO": {"learner_kwargs": {"n_steps": 16, "batch_size": 8, "n_epochs": 2}, "total_env_steps": 64},
    "A2C": {"learner_kwargs": {"n_steps": 8}, "total_env_steps": 64},
    "ACKTR": {"learner_kwargs": {"n_steps": 8}, "total_env_steps": 64},
}
ALGORITHMS = list(KWARGS)
UPDATES = {"PPO": 4, "A2C": 1, "ACKTR": 1}


@pytest.fixture(params=ALGORITHMS)
def env(request, make_env, take_default_steps):
    """An environment in its second update phase."""
    env = make_env(request.param, **KWARGS[request.param], env_id="Pendulum-v1")
    env.reset(seed=0)
    take_default_steps(env, UPDATES[request.param])
    env.updates = UPDATES[request.param]
    return env


def learned(env):
    """What an update changes: weights, every tensor of the optimiser, the history of gradients."""
    optimiser = env.learner.policy.optimizer.state_dict()["state"]
    state = [p.detach().clone() for p in env.learner.policy.state_dict().values()]
    state += [value.clone() for entry in optimiser.values() for value in entry.values()]
    history = env.learner.gradient_history
    return state + [gradient.clone() for age in range(len(history)) for gradient in history[age]]


def same(tensors, others):
    return all(a.equal(b) for a, b in zip(tensors, others, strict=True))


def corrupt(env, how):
    buffer = env.learner.rollout_buffer
    if how == "gradient":
        # The loss is finite, its gradient is not; the last layer of the actor has it.
        env.learner.policy.action_net.bias.register_hook(lambda gradient: gradient * torch.inf)
    elif how == "one gradient":
        parameter = env.learner.policy.value_net.weight
        mask = torch.zeros_like(parameter)
        mask[0, 0] = torch.nan
        parameter.register_hook(lambda gradient: gradient + mask)
    else:
        name, value = how
        getattr(buffer, name)[:] = value


CORRUPTIONS = {
    "NaN advantages": ("advantages", np.nan),
    "infinite returns": ("returns", np.inf),
    "NaN returns": ("returns", np.nan),
    "returns that overflow": ("returns", 1e30),
    "infinite gradient": "gradient",
    "one NaN in one gradient": "one gradient",
}


# NumPy warns where it measures how much of infinite returns is explained.
explained_variance_of_infinity = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")


@explained_variance_of_infinity
@pytest.mark.parametrize("how", CORRUPTIONS)
def test_a_bad_update_is_not_applied(env, how):
    before, weights = learned(env), env.hyper_state_tensors()
    assert any(tensor.any() for tensor in weights)
    corrupt(env, CORRUPTIONS[how])
    obs, reward, *_, info = env.step(env.default_action)
    assert same(learned(env), before)
    assert same(env.hyper_state_tensors(), weights)
    assert info["diverged"] is True
    assert np.isfinite(obs).all()
    assert np.isfinite(reward)


@explained_variance_of_infinity
@pytest.mark.parametrize("how", CORRUPTIONS)
def test_a_phase_that_is_refused_wholly_ends_the_run(env, how):
    corrupt(env, CORRUPTIONS[how])
    before = learned(env)
    for step in range(env.updates):
        obs, reward, terminated, truncated, info = env.step(env.default_action)
        assert info["diverged"]
        assert np.isfinite(obs).all()
        assert np.isfinite(reward)
        assert terminated == info["run_finished"] == (step == env.updates - 1)
        assert not truncated
    assert env.run_finished
    assert same(learned(env), before)
    stats = info["phase_stats"]
    assert all(value is None or np.isfinite(value).all() for value in stats.values())
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.default_action)
    obs, info = env.reset()
    assert (info["phase"], info["run_finished"], info["diverged"]) == (0, False, False)
    *_, info = env.step(env.default_action)
    assert not info["diverged"]


@pytest.mark.parametrize("phases", [1, 3, None])
@pytest.mark.parametrize("decision", ["update", "epoch", "phase"])
def test_the_end_of_a_diverged_run_in_every_kind_of_episode(make_env, phases, decision):
    env = make_env("PPO", **KWARGS["PPO"], learning_episode_phases=phases, decision=decision)
    env.reset(seed=0)
    env.learner.rollout_buffer.advantages[:] = np.nan
    over = False
    while not over:
        _, reward, terminated, truncated, info = env.step(env.default_action)
        over = terminated or truncated
    assert (terminated, truncated, info["run_finished"], info["diverged"]) == (True, False, True, True)
    assert np.isfinite(reward)


def test_only_the_minibatches_with_a_bad_sample_are_refused(make_env):
    env = make_env("PPO", **KWARGS["PPO"], learning_episode_phases=None)
    env.reset(seed=0)
    env.learner.rollout_buffer.advantages[3] = np.nan
    applied = []
    env.learner.policy.optimizer.register_step_post_hook(lambda *_: applied.append(None))
    diverged = [env.step(env.default_action)[-1]["diverged"] for _ in range(4)]
    # One of the two minibatches of each epoch has sample 3.
    assert [sum(diverged[:2]), sum(diverged[2:])] == [1, 1]
    assert len(applied) == 2
    assert not env.run_finished
    *_, info = env.step(env.default_action)
    assert not info["diverged"]
    assert info["phase"] == 1


def test_a_held_decision_says_when_any_of_its_updates_diverged(make_env):
    env = make_env("PPO", **KWARGS["PPO"], decision="phase")
    env.reset(seed=0)
    env.learner.rollout_buffer.advantages[3] = np.nan
    _, reward, _, _, info = env.step(env.default_action)
    assert info["diverged"]
    assert not info["run_finished"]
    assert np.isfinite(reward)
    env.reset()
    assert not env.step(env.default_action)[-1]["diverged"]


def test_the_statistics_are_of_the_updates_that_were_applied(make_env):
    env = make_env("PPO", **KWARGS["PPO"], decision="phase")
    env.reset(seed=0)
    env.learner.rollout_buffer.advantages[3] = np.nan
    stats = env.step(env.default_action)[-1]["phase_stats"]
    assert all(np.isfinite(stats[name]) for name in ("value_loss", "approx_kl", "grad_norm"))


class Poisoned(gym.Env):
    """One of its rewards is no finite number."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, poison):
        self.poison, self.t = poison, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(2, np.float32), self.poison if self.t == 13 else 1.0, False, self.t % 7 == 0, {}


@pytest.mark.parametrize(
    "hyper_reward", ["discounted_return", "episode_return", "value_target", "improvement"]
)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_no_nan_reward_of_the_inner_environment_gets_out(make_env, hyper_reward, poison):
    env = make_env("A2C", **KWARGS["A2C"], env_fn=lambda: Poisoned(poison), hyper_reward=hyper_reward)
    _, info = env.reset(seed=0)
    rewards, diverged = [], False
    while not info["run_finished"]:
        obs, reward, *_, info = env.step(env.default_action)
        assert np.isfinite(obs).all()
        rewards.append(reward)
        diverged |= info["diverged"]
        if not info["run_finished"]:
            env.reset()
    assert diverged
    assert np.isfinite(rewards).all()


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("learning_rate", [1e3, 1e38])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_step_that_ruins_the_policy_ends_the_run_and_not_the_program(
    make_env, algorithm, learning_rate, env_id
):
    """Loss and gradient are finite; the weights after the step are such that no action can be drawn."""
    rates = Hyperparameter("learning_rate", values=(learning_rate,))
    env = make_env(algorithm, **KWARGS[algorithm], env_id=env_id, search_space=[rates])
    _, info = env.reset(seed=0)
    while not info["run_finished"]:
        obs, reward, terminated, truncated, info = env.step(1)
        assert np.isfinite(obs).all()
        assert np.isfinite(reward)
        if (terminated or truncated) and not info["run_finished"]:
            env.reset()
