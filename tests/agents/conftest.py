"""A problem whose best learning rates are known, and runs of an experience."""

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
from agents.experience import PastRun
from hyperrl_env import DIAGNOSTICS


class Target(gym.Env):
    """One step: the reward is -(a - 2)^2, whatever is observed."""

    observation_space = gym.spaces.Box(0.0, 1.0, (1,), np.float32)
    action_space = gym.spaces.Box(-10.0, 10.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), -(float(action[0] - 2.0) ** 2), True, False, {}


@pytest.fixture
def means_on_target(make_env):
    """`means_on_target(agent, updates, n_steps, learner_kwargs, **keywords)`: the mean after each update, and
    the learning rate with what else the agent says of its choice.

    The policy is a Gaussian of variance 1, whose mean starts at 0 and is learned by plain gradients. The
    expected reward has the slope 2 (2 - mean), so that the first update at a learning rate of 0.5 would
    reach the target, were it not for noise.
    """

    def learn(name, updates, n_steps, learner_kwargs=None, **keywords):
        policy = {"net_arch": [], "optimizer_class": torch.optim.SGD, "optimizer_kwargs": {}}
        learner = {"use_rms_prop": False, "policy_kwargs": policy, "n_steps": n_steps, "max_grad_norm": 1e9}
        env = make_env(
            "A2C",
            env_fn=Target,
            n_envs=64,
            learner_kwargs={**learner, **(learner_kwargs or {})},
            total_env_steps=64 * n_steps * (updates + 1),
            **agents.env_kwargs(name if name in ("hoof", "tmg") else "hoof"),
        )
        agent = agents.make(name, env, **keywords)
        obs, info = env.reset(seed=0)
        env.learner.policy.log_std.requires_grad_(False)
        means, seen = [], []
        for _ in range(updates):
            obs, _, _, _, info = env.step(agent.act(obs, info))
            env.reset()
            means.append(float(env.learner.policy.action_net.bias.detach()))
            seen.append((info["hyperparameters"]["learning_rate"], getattr(agent, "choice", None)))
        return means, seen

    return learn


@pytest.fixture
def past_run():
    """`past_run(name, score, phases, **changes)`: a run of an experience, with such changes in its phases."""

    def made(name="a", score=1.0, phases=4, **changes):
        rng = np.random.default_rng(len(name))
        return PastRun(
            run=name,
            inner_env="CartPole-v1",
            start='{"settings": "sb3"}',
            normalize=False,
            decays=False,
            agent="random_schedule",
            seed=0,
            budget=100 * (phases + 1),
            decision="phase",
            score=score,
            area=0.5,
            evaluation=None,
            env_steps=100 * np.arange(1, phases + 2),
            diagnostics=rng.random((phases + 1, len(DIAGNOSTICS))).astype(np.float32),
            changes={name: np.array(change, np.float32) for name, change in changes.items()},
        )

    return made
