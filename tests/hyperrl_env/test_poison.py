"""No hyper-action and no inner environment can bring what is not finite to the outside, or into an agent."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

import agents
from hyperrl_env import Hyperparameter

PPO = {"learner_kwargs": {"n_steps": 16, "batch_size": 8, "n_epochs": 2}, "total_env_steps": 96}
KWARGS = {"PPO": PPO, "A2C": {"learner_kwargs": {"n_steps": 8}, "total_env_steps": 96}}
KWARGS["ACKTR"] = KWARGS["A2C"]
# One of the environment's own failures at a step in the middle of its third phase, or of its last steps.
POISONS = {
    "NaN reward": (np.nan, None),
    "infinite reward": (np.inf, None),
    "infinite loss": (-np.inf, None),
    "huge reward": (1e38, None),
    "NaN observation": (None, np.nan),
    "infinite observation": (None, np.inf),
    "huge observation": (None, 3e38),
}
# Finite as float64, but not as the float32 of the networks, or squared for the running variance.
BEYOND = {"beyond float32": 1e39, "its square beyond float64": 1e200}


class Poisoned(gym.Env):
    """One step gives what no environment should."""

    def __init__(self, poison, at, discrete, dtype=np.float32):
        self.observation_space = gym.spaces.Box(-1, 1, (2,), dtype)
        self.poison, self.at, self.t = poison, at, 0
        self.action_space = gym.spaces.Discrete(2) if discrete else gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.full(2, 0.5, self.observation_space.dtype), {}

    def step(self, action):
        assert np.isfinite(action).all()
        self.t += 1
        reward, observation = self.poison if self.t == self.at else (None, None)
        obs = np.array([0.1 * (self.t % 7), 1.0 if observation is None else observation])
        obs = obs.astype(self.observation_space.dtype)
        return obs, 1.0 if reward is None else reward, False, self.t % 7 == 0, {}


class Halves(BaseFeaturesExtractor):
    """A features extractor of one's own."""

    def __init__(self, observation_space):
        super().__init__(observation_space, features_dim=2)

    def forward(self, observations):
        return observations / 2


def finite(value):
    """Whether no number in a nested structure is NaN or infinite."""
    if isinstance(value, dict):
        return all(finite(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(finite(item) for item in value)
    if isinstance(value, torch.Tensor):
        return bool(torch.isfinite(value).all())
    return not isinstance(value, float | np.ndarray | np.generic) or bool(np.isfinite(value).all())


def run(env):
    """A whole run under episodic control; how many updates were refused."""
    agent = agents.make("epgt", env, seed=0, write_interval=1, vae_probability=1.0, vae_batch_size=2)
    obs, info = env.reset(seed=0)
    refused, worst = 0, np.inf
    for step in agents.steps(env, agent, obs, info):
        info = step.next_info
        assert finite(step.next_obs)
        assert finite(step.reward)
        assert finite(step.info)
        assert finite(info)
        refused += info["diverged"]
        if step.terminated and info["run_finished"]:
            assert info["diverged"]
            assert step.reward <= worst
        if "phase_stats" in info:
            worst = min(worst, step.reward)
    assert finite(agent.state_dict())
    assert finite(agent.memory.values)
    return refused


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("backend", ["eager", "fast"])
@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "ACKTR"])
@pytest.mark.parametrize(
    ("normalize", "discrete", "at"), [(True, False, 20), (False, True, 20), (True, True, 32)]
)
def test_what_the_inner_environment_gives(algorithm, backend, poison, normalize, discrete, at, make_env):
    env = make_env(
        algorithm,
        **KWARGS[algorithm],
        env_id=None,
        env_fn=lambda: Poisoned(POISONS[poison], at, discrete),
        backend=backend,
        normalize=normalize,
    )
    refused = run(env)
    if POISONS[poison][0] is not None and not np.isfinite(POISONS[poison][0]):
        assert refused
    if poison.endswith("observation") and not np.isfinite(POISONS[poison][1]):
        # Every update on that rollout, which ends the run there.
        assert env.learner.num_timesteps <= at + 16
        assert env.learner.updates_refused == env.learner.update_step > 0


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("value", BEYOND)
@pytest.mark.parametrize("backend", ["eager", "fast"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("at", [20, 32])
@pytest.mark.parametrize("policy", [{}, {"features_extractor_class": Halves}])
def test_observations_that_networks_cannot_take(backend, value, normalize, at, policy, make_env):
    """As infinite ones, unless they are normalised to what networks can take."""
    env = make_env(
        "PPO",
        **{**PPO, "learner_kwargs": {**PPO["learner_kwargs"], "policy_kwargs": policy}},
        env_id=None,
        env_fn=lambda: Poisoned((None, BEYOND[value]), at, True, np.float64),
        backend=backend,
        normalize=normalize,
    )
    refused = run(env)
    if normalize and value == "beyond float32":
        assert not refused
        assert env.learner.num_timesteps == 96
    else:
        assert env.learner.num_timesteps == 32
        assert env.learner.updates_refused == env.learner.update_step > 0


HYPERPARAMETERS = {
    "learning_rate": (1e6, 1e30),
    "clip_range": (1e9,),
    "vf_coef": (1e30,),
    "ent_coef": (1e30,),
    "max_grad_norm": (1e30,),
    "kl_clip": (1e30,),
    "damping": (1e-30, 1e30),
    "momentum": (0.999,),
}
OFFERED = {
    "PPO": ("learning_rate", "clip_range", "vf_coef", "ent_coef", "max_grad_norm"),
    "A2C": ("learning_rate", "vf_coef", "ent_coef", "max_grad_norm"),
    "ACKTR": ("learning_rate", "vf_coef", "ent_coef", "kl_clip", "damping", "momentum"),
}


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@pytest.mark.parametrize("env_id", ["Pendulum-v1", "CartPole-v1"])
@pytest.mark.parametrize(
    ("algorithm", "name"),
    [(algorithm, name) for algorithm, names in OFFERED.items() for name in names],
)
@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_what_the_agent_chooses(algorithm, backend, name, env_id, make_env):
    env = make_env(
        algorithm,
        **KWARGS[algorithm],
        env_id=env_id,
        backend=backend,
        search_space=[Hyperparameter(name, values=HYPERPARAMETERS[name])],
    )
    run(env)
