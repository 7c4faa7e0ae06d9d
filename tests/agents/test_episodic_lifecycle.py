"""Episodic control over runs that are saved, restored, left and begun anew, and over several runs."""

import copy
import itertools
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
from hyperrl_env import InnerEnvError

SETTINGS = {
    "learning_episode_phases": 3,
    "total_env_steps": 120,
    "n_envs": 1,
    "learner_kwargs": {"n_steps": 5},
}


def a2c_env(**kwargs):
    return gym.make("HyperRL-A2C-CartPole-v0", **{**SETTINGS, **kwargs}).unwrapped


def epgt(env, **kwargs):
    settings = {
        "embedding": "paper",
        "write_interval": 1,
        "vae_probability": 1.0,
        "vae_batch_size": 2,
        "key_dim": 4,
        "vae_hidden": 4,
    }
    return agents.make("epgt", env, seed=0, **settings, **kwargs)


def steps(env, agent, obs, info, n):
    """At most n steps, to the end of the run: (obs, action, terminated) of each; then obs and info."""
    done = []
    for step in itertools.islice(agents.steps(env, agent, obs, info), n):
        done.append((step.obs, int(step.action), step.terminated))
        obs, info = step.next_obs, step.next_info
    if env.unwrapped.episode_over and not info["run_finished"]:
        obs, info = env.reset()
    return done, obs, info


def disturb(how, env, agent):
    if how == "reset":
        env.reset(options={"new_run": True})
    elif how == "drive":
        steps(env, agent, *env.reset(seed=3), 4)
    elif how == "close":
        env.close()
    elif how == "fail":
        env.reset(seed=3)
        learner = env.learner
        learner.environment_phase = lambda: 1 / 0
        with pytest.raises(InnerEnvError):
            env.step(0)


ORDERS = [
    [before, *(("load", between, "restore") if between else ("restore", "load"))]
    for before, between in itertools.product(
        ("nothing", "reset", "drive", "close", "fail"), (None, "nothing", "reset", "close", "fail")
    )
]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_half_an_episode_is_kept_whatever_came_before_load_and_restore(order):
    env = a2c_env()
    agent = epgt(env)
    _, *now = steps(env, agent, *env.reset(seed=0), 5)  # an episode of three steps, and two of the next
    env_state, agent_state = env.snapshot(), copy.deepcopy(agent.state_dict())
    undisturbed, *_ = steps(env, agent, *now, 4)
    expected = agent.memory.state_dict()
    assert len(agent.memory) == 9

    for what in order:
        if what == "load":
            agent.load_state_dict(copy.deepcopy(agent_state))
        elif what == "restore":
            now = env.restore(env_state)
        else:
            disturb(what, env, agent)
    again, *_ = steps(env, agent, *now, 4)
    assert [action for _, action, _ in again] == [action for _, action, _ in undisturbed]
    found = agent.memory.state_dict()
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name


@pytest.mark.parametrize("new_run", [{"seed": 7}, {"options": {"new_run": True}}], ids=str)
@pytest.mark.parametrize("order", [[], ["load"], ["restore"], ["load", "restore"], ["close"]], ids=str)
def test_half_an_episode_is_dropped_by_a_new_run(order, new_run):
    env = a2c_env()
    agent = epgt(env)
    steps(env, agent, *env.reset(seed=0), 5)
    env_state, agent_state = env.snapshot(), copy.deepcopy(agent.state_dict())
    for what in order:
        if what == "load":
            agent.load_state_dict(agent_state)
        elif what == "restore":
            env.restore(env_state)
        else:
            disturb(what, env, agent)
    steps(env, agent, *env.reset(**new_run), 3)
    assert len(agent.memory) == 3 + 3


def test_half_an_episode_is_dropped_when_the_environment_alone_goes_back():
    """A branch: what the agent saw after the snapshot did not happen in it."""
    env = a2c_env()
    agent = epgt(env)
    _, *now = steps(env, agent, *env.reset(seed=0), 4)
    env_state = env.snapshot()
    steps(env, agent, *now, 1)
    obs, info = env.restore(env_state)
    steps(env, agent, obs, info, 2)  # to the end of the episode
    assert len(agent.memory) == 3 + 2


def test_half_an_episode_is_dropped_for_another_run_at_the_same_moment():
    env = a2c_env()
    agent = epgt(env)
    steps(env, agents.make("random", env), *env.reset(seed=1), 4)
    other = env.snapshot()
    steps(env, agent, *env.reset(seed=0), 4)
    steps(env, agent, *env.restore(other), 2)
    assert len(agent.memory) == 3 + 2


# ---------------------------------------------------------------- C


@pytest.mark.parametrize("name", ["epgt", "dqn", "random"])
def test_observations_depend_on_seed_and_actions_alone(name):
    """Whatever an agent has learned on the environment, C too."""
    env = a2c_env()
    agent = epgt(env) if name == "epgt" else agents.make(name, env, seed=0)
    done, last, _ = steps(env, agent, *env.reset(seed=0), 24)
    other = a2c_env()
    for replayed in (env, other):
        obs, _ = replayed.reset(seed=0)
        for expected, action, terminated in done:
            assert np.array_equal(obs, expected)
            obs, *_, truncated, info = replayed.step(action)
            if (terminated or truncated) and not info["run_finished"]:
                obs, _ = replayed.reset()
        assert np.array_equal(obs, last)
    if name == "epgt":
        own, of_env = agent.embedding.projector.maps, env.projector.maps
        assert not any(torch.equal(a, b) for a, b in zip(own, of_env, strict=True)), "C was trained"
    assert all(torch.equal(a, b) for a, b in zip(env.projector.maps, other.projector.maps, strict=True))


def test_the_hyper_state_through_another_projector_is_equation_2():
    env = a2c_env()
    agent = epgt(env)
    for seed in (0, 1):
        _, obs, _ = steps(env, agent, *env.reset(seed=seed), 7)
        own = agent.embedding.projector
        with torch.no_grad():
            expected = own(env.hyper_state_tensors(), torch.tensor([obs[-1]]))
        assert np.allclose(env.hyper_state(own), expected, atol=1e-5)
        assert np.array_equal(env.hyper_state(env.projector), obs)
        assert not np.allclose(env.hyper_state(own), obs, atol=1e-5)


def test_keys_of_an_agent_that_is_kept_for_several_runs_mean_the_same_in_each():
    """The key that is written is the one that the same hyper-state is read with in the next run."""
    env = a2c_env(learning_episode_phases=1)
    agent = epgt(env, epsilon_start=0.0, epsilon_end=0.0)
    steps(env, agent, *env.reset(seed=0), 24)
    agent.embedding.train_step = lambda: None
    agent.embedding.update_statistics = lambda observations: None
    written, read = [], []
    write, look = agent.memory.write, agent.memory.read
    agent.memory.write = lambda key, action, value: [written.append(key), write(key, action, value)]
    agent.memory.read = lambda key: [read.append(key), look(key)][1]
    for _ in range(2):
        steps(env, agent, *env.reset(seed=5), 1)
    assert np.array_equal(written, read)
    assert np.array_equal(read[0], read[1]), "the same weights in both runs"


def test_a_trained_c_goes_with_the_agents_state_and_not_with_the_environments():
    env, other = a2c_env(), a2c_env()
    agent = epgt(env)
    steps(env, agent, *env.reset(seed=0), 9)
    restored = epgt(other)
    other.restore(env.snapshot())
    assert torch.equal(restored.embedding.projector.maps[0], other.projector.maps[0])
    restored.load_state_dict(agent.state_dict())
    assert torch.equal(restored.embedding.projector.maps[0], agent.embedding.projector.maps[0])
    assert torch.equal(other.projector.maps[0], env.projector.maps[0])


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize("phases", [None, 24, 100])
def test_a_run_without_an_episodes_end_is_said_to_be_random_search(phases):
    env = a2c_env(learning_episode_phases=phases)  # 24 update phases
    message = (
        rf"(?s)learning_episode_phases={phases} .*24 update phases.*random search.*learning_episode_phases=1"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        agent = agents.make("epgt", env, embedding="random")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    done, *_ = steps(env, agent, *env.reset(seed=0), 24)
    assert len(done) == 24
    assert (len(agent.memory) > 0) == (phases is None), "and that at the end of the run"


@pytest.mark.parametrize(("phases", "budget"), [(1, 120), (23, 120), (1, 5)])
def test_a_run_with_an_episodes_end_is_none(phases, budget):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agents.make("epgt", a2c_env(learning_episode_phases=phases, total_env_steps=budget))


COUNTS = ["capacity", "k_read", "k_write", "key_dim", "write_interval", "vae_hidden"]
COUNTS += ["vae_batch_size", "vae_buffer_size"]
FRACTIONS = ["epsilon_start", "epsilon_end", "epsilon_fraction", "beta", "vae_probability"]
CASES = [(name, value) for name in COUNTS for value in (0, -1, 8.0, 1.5, "3", True, [2])]
CASES += [
    (name, value) for name in FRACTIONS for value in (-0.1, 1.1, float("nan"), "0.5", None, True, [0.5])
]
CASES += [("epsilon_fraction", 0), ("beta", 0.0)]
CASES += [(n, v) for n in ("kernel_delta", "vae_learning_rate") for v in (0, -1.0, float("inf"), "1", None)]
CASES += [
    ("rule", "median"),
    ("rule", None),
    ("embedding", "pca"),
    ("embedding", 1),
]


@pytest.mark.parametrize(("name", "value"), CASES, ids=str)
def test_every_bad_keyword_is_refused_at_construction(name, value):
    with pytest.raises(ValueError, match=name) as caught:
        agents.make("epgt", a2c_env(), **{name: value})
    assert repr(value) in str(caught.value)


def test_numpy_numbers_are_numbers():
    counts = {name: np.int64(4) for name in COUNTS}
    fractions = {name: np.float32(0.5) for name in FRACTIONS}
    env = a2c_env()
    agent = agents.make("epgt", env, **counts, **fractions, kernel_delta=np.float64(1e-3))
    steps(env, agent, *env.reset(seed=0), 24)


@pytest.mark.parametrize("name", ["epgt", "random", "fixed", "dqn"])
@pytest.mark.parametrize("seed", [-1, 1.5, "0", None, True])
def test_a_bad_seed(name, seed):
    with pytest.raises(ValueError, match=r"seed must be a whole number of at least 0"):
        agents.make(name, a2c_env(), seed=seed)


@pytest.mark.parametrize("value", ["0.001", None, [1e-3], True])
def test_a_fixed_value_that_is_no_number(value):
    with pytest.raises(ValueError, match=r"'learning_rate'.*number"):
        agents.make("fixed", a2c_env(), action={"learning_rate": value})


def test_a_fixed_value_that_is_nan():
    with pytest.raises(ValueError, match="learning_rate=nan is not offered"):
        agents.make("fixed", a2c_env(), action={"learning_rate": float("nan")})
