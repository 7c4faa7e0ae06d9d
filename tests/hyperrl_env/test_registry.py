"""Names: the project's own, those that a program registers, those that installed packages offer."""

import sys

import gymnasium as gym
import pytest

import agents
import hyperrl_env
from hyperrl_env import registry
from hyperrl_env.registration import load_tasks
from hyperrl_env.registry import Registry

MODULE = """
import agents, hyperrl_env

class Offered(agents.HyperAgent):
    def act(self, obs, info):
        return self.search_space.joint_action(1)

number = 3

def offered_reward(phase):
    "The number of steps."
    return float(phase.rewards.size)

def tasks():
    hyperrl_env.register_task(hyperrl_env.Task("OfferedTask", "CartPole-v1"), {"A2C": hyperrl_env.Settings()})

def broken():
    raise RuntimeError("this package is broken")
"""
ENTRY_POINTS = """
[hyperrl.agents]
offered = offering_package:Offered
a_number = offering_package:number
missing = offering_package:Missing
epgt = offering_package:Offered

[hyperrl.hyper_rewards]
offered_reward = offering_package:offered_reward

[hyperrl.tasks]
good = offering_package:tasks
bad = offering_package:broken
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that offers things, good and bad."""
    (tmp_path / "offering_package.py").write_text(MODULE)
    info = tmp_path / "offering_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offering-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()
    sys.modules.pop("offering_package", None)
    for known in (agents.AGENTS._known, hyperrl_env.HYPER_REWARDS._known):
        for name in ("offered", "offered_reward", "mine"):
            known.pop(name, None)


@pytest.fixture
def env():
    return gym.make("HyperRL-A2C-CartPole-v0", total_env_steps=400)


class Mine(agents.HyperAgent):
    def act(self, obs, info):
        return self.search_space.joint_action(0)


@pytest.fixture
def mine():
    agents.register("mine", Mine)
    yield
    agents.AGENTS._known.pop("mine")


def test_a_registered_agent_goes_by_its_name(mine, env):
    agent = agents.make("mine", env)
    assert type(agent) is Mine
    assert agents.keywords("mine") == {}
    agents.run(env, agent, seed=0)


def test_registering_the_same_thing_again_changes_nothing(mine):
    agents.register("mine", Mine)
    assert agents.AGENTS["mine"] is Mine


@pytest.mark.parametrize(
    ("name", "factory", "message"),
    [
        ("epgt", Mine, "'epgt' exists already"),
        ("two words", Mine, "letters, digits"),
        ("my_module:Agent", Mine, "letters, digits"),
        ("", Mine, "letters, digits"),
        (3, Mine, "letters, digits"),
        ("new", int, "subclass of agents.HyperAgent"),
        ("new", "epgt", "subclass of agents.HyperAgent"),
    ],
)
def test_what_cannot_be_registered_says_why(name, factory, message):
    before = list(agents.AGENTS)
    with pytest.raises(ValueError, match=message):
        agents.register(name, factory)
    assert list(agents.AGENTS) == before


def test_a_packages_agent_goes_by_its_name(package, env):
    assert "offered" in agents.AGENTS
    assert "offered" in list(agents.AGENTS)
    assert type(agents.make("offered", env)).__name__ == "Offered"
    with pytest.raises(ValueError, match="'offered' exists already"):
        agents.register("offered", Mine)


def test_a_package_does_not_hide_the_projects_own(package, env):
    assert type(agents.make("epgt", env)) is agents.EpisodicControlAgent
    assert list(agents.AGENTS).count("epgt") == 1


@pytest.mark.parametrize(("name", "reason"), [("a_number", "not 3"), ("missing", "no attribute 'Missing'")])
def test_a_broken_offer_names_its_package(package, env, name, reason):
    with pytest.raises(ValueError, match=rf"'{name}' of offering-package \(offering_package:.*{reason}"):
        agents.make(name, env)


def test_an_unknown_name_says_how_packages_offer_one(package, env):
    with pytest.raises(ValueError, match=r"Did you mean 'offered'.*entry point 'hyperrl\.agents'"):
        agents.make("ofered", env)


def test_a_packages_hyper_reward_goes_by_its_name(package):
    env = gym.make("HyperRL-A2C-CartPole-v0", total_env_steps=400, hyper_reward="offered_reward")
    env.reset(seed=0)
    *_, reward, _, _, info = env.step(env.unwrapped.default_action)
    assert reward == 40
    assert info["offered_reward"] == 40
    with pytest.raises(ValueError, match=r"hyperrl\.hyper_rewards.*Or give a callable"):
        gym.make("HyperRL-A2C-CartPole-v0", hyper_reward="offred")


def test_a_registered_hyper_reward_goes_by_its_name():
    hyperrl_env.register_hyper_reward("count", lambda phase: float(phase.rewards.size))
    try:
        env = gym.make("HyperRL-A2C-CartPole-v0", total_env_steps=400, hyper_reward="count")
        env.reset(seed=0)
        assert env.step(env.unwrapped.default_action)[1] == 40
    finally:
        hyperrl_env.HYPER_REWARDS._known.pop("count")
    with pytest.raises(ValueError, match="function of an EnvironmentPhase, not 3"):
        hyperrl_env.register_hyper_reward("three", 3)


@pytest.fixture
def tasks():
    """The tables of tasks, put back afterwards."""
    before = dict(hyperrl_env.TASKS), dict(hyperrl_env.SETTINGS), dict(gym.registry)
    yield
    for table, entries in zip((hyperrl_env.TASKS, hyperrl_env.SETTINGS, gym.registry), before, strict=True):
        table.clear()
        table.update(entries)


def test_a_registered_task_has_ids_and_settings(tasks):
    settings = hyperrl_env.Settings({"n_steps": 32}, total_env_steps=320, n_envs=2, source="mine")
    hyperrl_env.register_task(hyperrl_env.Task("Mine", "CartPole-v1"), {"A2C": settings})
    assert "HyperRL-A2C-Mine-v0" in hyperrl_env.env_ids()
    env = gym.make("HyperRL-A2C-Mine-v0").unwrapped
    env.reset(seed=0)
    assert (env.total_env_steps, env.learner.n_steps, env.learner.n_envs) == (320, 32, 2)
    assert gym.make("HyperRL-A2C-Mine-v0", settings="sb3").unwrapped.inner_run_config.n_envs == 1
    with pytest.raises(ValueError, match=r"no settings for PPO\. It has: A2C"):
        hyperrl_env.HyperRLEnv("PPO", "Mine")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("Hopper", {"PPO": hyperrl_env.Settings()}, "'Hopper' exists already"),
        ("My Task", {"PPO": hyperrl_env.Settings()}, "letters, digits"),
        ("Mine", {}, "at least one algorithm"),
        ("Mine", {"SAC": hyperrl_env.Settings()}, "Unknown algorithm 'SAC'"),
    ],
)
def test_an_impossible_task_is_refused_whole(tasks, name, settings, message):
    before = hyperrl_env.env_ids()
    with pytest.raises(ValueError, match=message):
        hyperrl_env.register_task(hyperrl_env.Task(name, "CartPole-v1"), settings)
    assert hyperrl_env.env_ids() == before


def test_packages_tasks_are_registered_and_a_broken_one_is_left_out(package, tasks):
    with pytest.warns(UserWarning, match=r"offering_package:broken cannot be used: RuntimeError"):
        load_tasks()
    assert "HyperRL-A2C-OfferedTask-v0" in hyperrl_env.env_ids()


def test_a_registry_is_a_mapping():
    names = Registry("thing", "hyperrl.nothing", {"a": 1}, lambda thing: None)
    assert (list(names), len(names), names["a"], "a" in names, "b" in names) == (["a"], 1, 1, True, False)
    with pytest.raises(KeyError):
        names["b"]
