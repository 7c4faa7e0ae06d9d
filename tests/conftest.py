"""What all tests share: one thread, small runs, and the bits that a learner consists of."""

import warnings
from contextlib import suppress

import gymnasium as gym
import hypothesis
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import VecNormalize
from threadpoolctl import threadpool_limits

import hyperrl_env  # noqa: F401 - registers the ids

torch.set_num_threads(1)
# As the command line sets it: sums over threads round differently.
threadpool_limits(1, user_api="blas")

# The same examples at every run: what fails here fails everywhere, and what passes here lands. To
# look further, run with --hypothesis-profile=default.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

# Box2D's extension module warns of its own types when it is first imported, which as an error in C
# would end the process. It is an extra.
with warnings.catch_warnings(), suppress(ImportError):
    warnings.simplefilter("ignore")
    import Box2D  # noqa: F401

# Runs of a few milliseconds: three update phases. "eager" is the backend whose bits are SB3's and whose
# parts (hooks on gradients, the rollout buffer) tests may look into.
SMALL = {
    "PPO": {
        "backend": "eager",
        "env_id": "CartPole-v1",
        "total_env_steps": 48,
        "learner_kwargs": {"n_steps": 16, "batch_size": 8, "n_epochs": 2},
    },
    "A2C": {"backend": "eager", "env_id": "CartPole-v1", "total_env_steps": 15},
    "ACKTR": {
        "backend": "eager",
        "env_id": "CartPole-v1",
        "total_env_steps": 15,
        "learner_kwargs": {"n_steps": 5},
    },
}


class ScriptedEnv(gym.Env):
    """Rewards that are known before: episode after episode and step after step, whatever the actions.

    Args:
        rewards: Those of an episode, whose length is theirs.
        truncated: Whether episodes end by a time limit.
    """

    observation_space = gym.spaces.Box(-10.0, 10.0, (2,), np.float32)

    def __init__(self, rewards, truncated=False, action_space=None):
        self.action_space = action_space or gym.spaces.Discrete(2)
        self.rewards, self.by_time_limit, self.t = rewards, truncated, 0

    def _observation(self):
        return np.array([self.t / len(self.rewards), 1.0], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {}

    def step(self, action):
        reward = self.rewards[self.t]
        self.t += 1
        over = self.t == len(self.rewards)
        return self._observation(), reward, over and not self.by_time_limit, over and self.by_time_limit, {}


@pytest.fixture
def scripted_env():
    return ScriptedEnv


@pytest.fixture
def make_env():
    """`make_env(algorithm, **kwargs)`: the generic environment, small; `make_env(id, **kwargs)`: that id."""
    envs = []

    def make(name="PPO", **kwargs):
        if name in SMALL:
            name, kwargs = f"HyperRL-{name}-v0", {**SMALL[name], **kwargs}
            if kwargs.get("env_fn") is not None:
                kwargs.pop("env_id")
        envs.append(gym.make(name, **kwargs))
        return envs[-1].unwrapped

    yield make
    for env in envs:
        env.close()


def _bits(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    value = np.asarray(value)
    return value.dtype.str, value.shape, value.tobytes()


@pytest.fixture
def bits_of():
    """`bits_of(learner)`: everything that training changes in an SB3 algorithm, bit for bit, by name."""

    def bits(model):
        found = {"num_timesteps": model.num_timesteps, "n_updates": model._n_updates}
        found |= {f"policy.{name}": _bits(value) for name, value in model.policy.state_dict().items()}
        optimiser = model.policy.optimizer.state_dict()
        for index, state in optimiser["state"].items():
            found |= {f"optimiser.{index}.{name}": _bits(value) for name, value in state.items()}
        found |= {f"lr.{i}": group["lr"] for i, group in enumerate(optimiser["param_groups"])}
        buffer = model.rollout_buffer
        for name in (
            "observations",
            "actions",
            "rewards",
            "episode_starts",
            "values",
            "log_probs",
            "advantages",
            "returns",
        ):
            value = getattr(buffer, name)
            parts = value.items() if isinstance(value, dict) else [("", value)]
            found |= {f"buffer.{name}.{part}": _bits(array) for part, array in parts}
        found |= {f"buffer.{name}": getattr(buffer, name) for name in ("gamma", "gae_lambda", "buffer_size")}
        found["episodes"] = [(info["r"], info["l"]) for info in model.ep_info_buffer]
        normalizer = model.get_vec_normalize_env()
        if isinstance(normalizer, VecNormalize):
            scales = normalizer.obs_rms
            scales = {"ret": normalizer.ret_rms} | (scales if isinstance(scales, dict) else {"obs": scales})
            for name, rms in scales.items():
                found |= {
                    f"{name}_rms.{part}": _bits(getattr(rms, part)) for part in ("mean", "var", "count")
                }
            found["returns"] = _bits(normalizer.returns)
        return found

    return bits


@pytest.fixture
def weights_of():
    """`weights_of(env)`: a copy of every parameter of the learner."""
    return lambda env: [p.detach().clone() for p in env.unwrapped.learner.policy.parameters()]


@pytest.fixture
def take_default_steps():
    """`take_default_steps(env, n)`: n times the default action, through the ends of learning episodes."""

    def take(env, n):
        for _ in range(n):
            *_, terminated, truncated, _ = env.step(env.unwrapped.default_action)
            if terminated or truncated:
                env.reset()

    return take


@pytest.fixture
def run_to_end():
    """`run_to_end(env, seed, action)`: a whole run; the last info. `action`: default, or a callable."""

    def run(env, seed, action=None):
        _, info = env.reset(seed=seed)
        while not info["run_finished"]:
            choice = env.unwrapped.default_action if action is None else action()
            *_, terminated, truncated, info = env.step(choice)
            if (terminated or truncated) and not info["run_finished"]:
                env.reset()
        return info

    return run
