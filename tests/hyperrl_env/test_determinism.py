"""Same seed, same actions: the same everything; and the process's own generators are left alone."""

import random

import numpy as np
import pytest
import torch
from gymnasium.error import InvalidAction

# Runs are left unfinished here, and finished ones followed by others, which is said (see test_lifecycle.py).
pytestmark = pytest.mark.filterwarnings("ignore:.*starts a new.* with a new model:UserWarning")

ALGORITHMS = ["PPO", "A2C", "ACKTR"]
BACKENDS = ["eager", "auto"]
NORMALISED = {"env_id": "Pendulum-v1", "normalize": True, "n_envs": 2}


def global_state():
    name, keys, position, has_gauss, cached = np.random.get_state()
    return (
        random.getstate(),
        (name, keys.tobytes(), position, has_gauss, cached),
        torch.get_rng_state().numpy().tobytes(),
    )


def disturb():
    """What other code of the process might do between two steps."""
    random.seed(random.random() + 1)
    np.random.seed(np.random.randint(2**31))
    torch.manual_seed(torch.randint(2**31, ()).item())
    np.random.normal()  # leaves a second Gaussian cached
    random.gauss(0, 1)
    torch.randn(3)


def record(env, seed, disturbance=None, steps=12):
    """Yields after every call what it gave, so that two environments can be stepped in turns."""
    disturbance and disturbance()
    yield env.reset(seed=seed)
    actions = np.random.default_rng(0)
    for _ in range(steps):
        disturbance and disturbance()
        result = env.step(actions.integers(env.action_space.n))
        yield result
        if result[2] or result[3]:
            disturbance and disturbance()
            yield env.reset()


def assert_same(results, others):
    results, others = list(results), list(others)
    assert len(results) == len(others) > 12
    for (obs, *rest), (other_obs, *other_rest) in zip(results, others, strict=True):
        np.testing.assert_array_equal(obs, other_obs)
        assert rest == other_rest  # rewards, ends and the whole info


@pytest.fixture(
    params=[(algorithm, backend) for algorithm in ALGORITHMS for backend in BACKENDS], ids="-".join
)
def pair(request, make_env):
    algorithm, backend = request.param
    return tuple(make_env(algorithm, backend=backend, **NORMALISED, total_env_steps=64) for _ in range(2))


def test_the_same_seed_and_actions_give_the_same_results(pair):
    assert_same(*(record(env, 7) for env in pair))


def test_one_environment_repeats_itself(pair):
    env, _ = pair
    assert_same(list(record(env, 7)), list(record(env, 7)))


def test_two_environments_stepped_in_turns(pair):
    alone = list(record(pair[0], 7))
    in_turns = list(zip(record(pair[0], 7), record(pair[1], 8), strict=False))
    assert_same(alone, [first for first, _ in in_turns])
    assert_same(list(record(pair[0], 8))[: len(in_turns)], [second for _, second in in_turns])


def test_whatever_other_code_draws_in_between(pair):
    assert_same(record(pair[0], 7), record(pair[1], 7, disturb))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_policy_that_draws_in_its_updates(make_env, backend):
    """Dropout draws from Torch's generator wherever the network is evaluated."""
    kwargs = {"n_steps": 16, "batch_size": 8, "n_epochs": 2}
    kwargs["policy_kwargs"] = {"activation_fn": torch.nn.Dropout, "net_arch": [8]}
    envs = [make_env(backend=backend, learner_kwargs=kwargs, total_env_steps=64) for _ in range(2)]
    found = global_state()
    first = list(record(envs[0], 7))
    assert global_state() == found
    assert_same(first, record(envs[1], 7, disturb))


def test_environments_that_are_made_and_closed_in_between(pair, make_env):
    def another():
        env = make_env("A2C", env_id="Pendulum-v1")
        env.reset(seed=3)
        env.step(0)
        env.close()

    assert_same(record(pair[0], 7), record(pair[1], 7, another))


def test_different_seeds_differ(pair):
    (first, *_), (second, *_) = (list(record(env, seed)) for env, seed in zip(pair, (7, 8), strict=True))
    assert not np.array_equal(first[0], second[0])
    assert first[1]["discounted_return"] != second[1]["discounted_return"]


def test_different_actions_differ(pair):
    ends = []
    for env, action in zip(pair, (0, 2), strict=True):
        env.reset(seed=0)
        ends.append(env.step(action)[0])
    assert not np.array_equal(*ends)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_seed_is_the_whole_seed(make_env, algorithm):
    """A run does not depend on the runs before it."""
    env = make_env(algorithm)
    first = list(record(env, 7))
    env.reset(seed=123)
    env.step(1)
    env.reset()
    assert_same(first, record(env, 7))


def test_construction_does_not_depend_on_the_global_generators(make_env):
    spaces, maps = [], []
    for _ in range(2):
        disturb()
        env = make_env()
        spaces.append((env.observation_space, env.action_space))
        maps.append([c.detach().clone() for c in env.projector.maps])
    assert spaces[0] == spaces[1]
    assert all(a.equal(b) for a, b in zip(*maps, strict=True))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("render_mode", "backend"), [(None, "eager"), (None, "auto"), ("rgb_array", "auto"), ("human", "auto")]
)
def test_the_global_generators_are_left_as_found(make_env, monkeypatch, algorithm, render_mode, backend):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    disturb()
    found = global_state()
    env = make_env(algorithm, render_mode=render_mode, backend=backend, **NORMALISED, total_env_steps=64)
    assert global_state() == found, "__init__"
    env.reset(seed=3)
    assert global_state() == found, "reset(seed=...)"
    info = {"run_finished": False}
    while not info["run_finished"]:
        *_, terminated, truncated, info = env.step(env.default_action)
        assert global_state() == found, "step"
        if terminated or truncated:
            env.reset()
            assert global_state() == found, "reset"
    if render_mode:
        env.render()
        assert global_state() == found, "render"
    env.close()
    assert global_state() == found, "close"


def test_the_global_generators_are_left_as_found_by_errors(make_env):
    def broken(phase):
        raise ZeroDivisionError

    found = global_state()
    with pytest.raises(ValueError, match="no_such"):
        make_env(search_space=["no_such"])
    with pytest.raises(TypeError, match="no_such"):
        make_env(env_kwargs={"no_such": 1})
    env = make_env()
    env.reset(seed=0)
    with pytest.raises(InvalidAction):
        env.step(-1)
    with pytest.raises(ZeroDivisionError):
        make_env(hyper_reward=broken).reset(seed=0)
    assert global_state() == found


def test_an_inner_environment_may_draw_from_the_global_generators(make_env, scripted_env):
    class Careless(scripted_env):
        def step(self, action):
            obs, _, *rest = super().step(action)
            return obs, random.random() + np.random.normal() + torch.randn(()).item(), *rest

    envs = [make_env("A2C", env_fn=lambda: Careless([0.0] * 4), total_env_steps=64) for _ in range(2)]
    found = global_state()
    first = list(record(envs[0], 7))
    assert global_state() == found
    assert_same(first, record(envs[1], 7, disturb))
