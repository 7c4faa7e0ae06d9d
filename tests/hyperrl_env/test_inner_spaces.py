"""Inner environments of all kinds of spaces work as in Stable-Baselines3, or are refused at construction."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

from hyperrl_env import HyperRLEnv

SMALL = {"n_steps": 8, "batch_size": 4, "n_epochs": 1}
BOX, TWO = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)


class Typed(gym.Env):
    """Observations drawn from a space; keeps the actions that it is given."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = copy.deepcopy(observation_space), action_space
        self.closed, self.t, self.actions = False, 0, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        self.t += 1
        self.actions.append(np.array(action))
        return self.observation_space.sample(), float(np.sum(action) % 3), self.t % 5 == 0, False, {}

    def close(self):
        self.closed = True


OBSERVATIONS = {
    "Discrete": spaces.Discrete(3),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary((2, 3)),
    "float64": spaces.Box(-1, 1, (2,), np.float64),
    "float16": spaces.Box(-1, 1, (2,), np.float16),
    "integers": spaces.Box(-5, 5, (2,), np.int64),
    "bytes": spaces.Box(0, 255, (4,), np.uint8),
    "matrix": spaces.Box(-1, 1, (2, 3), np.float32),
    "unbounded": spaces.Box(-np.inf, np.inf, (2,), np.float32),
    "Dict": spaces.Dict(a=BOX, b=spaces.Discrete(2), c=spaces.MultiBinary(2)),
}
ACTIONS = {
    "one": spaces.Discrete(1),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(3),
    "float64": spaces.Box(-0.5, 0.25, (2,), np.float64),
    "integers": spaces.Box(-5, 5, (2,), np.int64),
    "number": spaces.Box(-1, 1, (), np.float32),
    "matrix": spaces.Box(-1, 1, (2, 3), np.float32),
}


@pytest.mark.parametrize("backend", ["eager", "auto"])
@pytest.mark.parametrize(
    ("observation_space", "action_space"),
    [pytest.param(space, TWO, id=f"observation-{name}") for name, space in OBSERVATIONS.items()]
    + [pytest.param(BOX, space, id=f"action-{name}") for name, space in ACTIONS.items()],
)
def test_what_stable_baselines3_can_use_is_trained_as_it_would(
    observation_space, action_space, backend, run_to_end
):
    made = []

    def env_fn():
        made.append(Typed(observation_space, action_space))
        return made[-1]

    env = HyperRLEnv("PPO", env_fn=env_fn, total_env_steps=16, learner_kwargs=SMALL, backend=backend)
    run_to_end(env, 0)
    inner = made[-1]
    policy = "MultiInputPolicy" if isinstance(observation_space, spaces.Dict) else "MlpPolicy"
    oracle = PPO(policy, env_fn(), seed=0, device="cpu", **SMALL).learn(16)
    for given, expected in zip(inner.actions, made[-1].actions, strict=True):
        assert (given.dtype, given.shape) == (expected.dtype, expected.shape)
        assert np.allclose(given, expected, atol=1e-5)
    for trained, expected in zip(env.learner.policy.parameters(), oracle.policy.parameters(), strict=True):
        assert torch.allclose(trained, expected, rtol=0, atol=0 if backend == "eager" else 1e-5)
    env.close()


NESTED = spaces.Dict(a=spaces.Dict(b=BOX))
REFUSED = {
    "Discrete from 1": (spaces.Discrete(3, start=1), ["start=1", "counts from 0", "TransformObservation"]),
    "Discrete from -1": (spaces.Discrete(3, start=-1), ["start=-1", "counts from 0"]),
    "MultiDiscrete from 1": (spaces.MultiDiscrete([2, 3], start=[0, 1]), ["start=[0 1]", "counts from 0"]),
    "MultiDiscrete matrix": (spaces.MultiDiscrete([[2, 3], [2, 2]]), ["more than one dimension", "flat"]),
    "no number": (spaces.Box(-1, 1, (0,), np.float32), ["holds no number"]),
    "Tuple": (spaces.Tuple((BOX, TWO)), ["Tuple", "supports Box, Discrete, MultiDiscrete or MultiBinary"]),
    "Text": (spaces.Text(4), ["Text", "supports Box"]),
    "Sequence": (spaces.Sequence(TWO), ["Sequence", "supports Box"]),
    "Graph": (spaces.Graph(BOX, None), ["Graph", "supports Box"]),
    "OneOf": (spaces.OneOf((BOX, TWO)), ["OneOf", "supports Box"]),
}
OBSERVATIONS_REFUSED = REFUSED | {
    "a single number": (spaces.Box(-1, 1, (), np.float32), ["single number", "shape (1,)"]),
    "nested Dict": (NESTED, ["entry 'a'", "cannot be nested"]),
    "Dict of a Tuple": (spaces.Dict(a=BOX, b=spaces.Tuple((BOX,))), ["entry 'b'", "Tuple"]),
    "Dict from 1": (spaces.Dict(a=BOX, b=spaces.Discrete(2, start=1)), ["entry 'b'", "counts from 0"]),
    "Dict of a number": (spaces.Dict(a=spaces.Box(-1, 1, (), np.float32)), ["entry 'a'", "shape (1,)"]),
    "empty Dict": (spaces.Dict({}), ["empty Dict"]),
}
ACTIONS_REFUSED = REFUSED | {
    "unbounded": (spaces.Box(-np.inf, np.inf, (2,), np.float32), ["finite bounds"]),
    "half bounded": (spaces.Box(0, np.inf, (2,), np.float32), ["finite bounds"]),
    "MultiBinary matrix": (spaces.MultiBinary((2, 3)), ["more than one dimension", "flat"]),
    "Dict": (spaces.Dict(a=BOX), ["Dict", "supports Box"]),
}


@pytest.mark.parametrize(
    ("kind", "space", "parts"),
    [pytest.param("observation", *case, id=f"observation-{n}") for n, case in OBSERVATIONS_REFUSED.items()]
    + [pytest.param("action", *case, id=f"action-{name}") for name, case in ACTIONS_REFUSED.items()],
)
@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_what_stable_baselines3_cannot_use_is_refused_at_construction(kind, space, parts, backend):
    made = []

    def env_fn():
        made.append(Typed(space, TWO) if kind == "observation" else Typed(BOX, space))
        return made[-1]

    with pytest.raises(ValueError, match=f"{kind} space") as caught:
        HyperRLEnv("PPO", env_fn=env_fn, total_env_steps=16, learner_kwargs=SMALL, backend=backend)
    for part in parts:
        assert part in str(caught.value)
    assert all(env.closed for env in made)


def test_a_shifted_space_works_as_the_message_says(run_to_end):
    made = []

    def env_fn():
        made.append(Typed(BOX, spaces.Discrete(2, start=1)))
        return gym.wrappers.TransformAction(made[-1], lambda action: action + 1, TWO)

    env = HyperRLEnv("PPO", env_fn=env_fn, total_env_steps=16, learner_kwargs=SMALL)
    run_to_end(env, 0)
    assert {int(action) for action in made[-1].actions} == {1, 2}
    env.close()


@pytest.mark.parametrize("space", [TWO, spaces.Dict(a=BOX, b=TWO)], ids=["Discrete", "Dict"])
def test_normalisation_needs_numbers_everywhere(space):
    with pytest.raises(ValueError, match=r"normalize needs Box observations.*give False"):
        HyperRLEnv(
            "PPO", env_fn=lambda: Typed(space, TWO), total_env_steps=16, learner_kwargs=SMALL, normalize=True
        )
