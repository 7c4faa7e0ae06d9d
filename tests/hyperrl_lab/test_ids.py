import gymnasium as gym
import pytest

from hyperrl_env import env_ids
from hyperrl_lab.ids import id_kwargs, resolve_id


def test_every_id_resolves_with_and_without_its_version():
    for id_ in env_ids():
        assert resolve_id(id_) == resolve_id(id_.removesuffix("-v0")) == id_


def test_an_id_tells_its_algorithm_and_task():
    assert id_kwargs("HyperRL-A2C-Pendulum") == {"algorithm": "A2C", "task": "Pendulum"}


def test_a_module_before_the_id_is_imported_and_stays():
    assert resolve_id("hyperrl_env:HyperRL-PPO-Ant") == "hyperrl_env:HyperRL-PPO-Ant-v0"


def test_the_latest_version_is_taken():
    for version in (1, 10, 9):
        gym.register(
            f"HyperRL-Lab-v{version}", "hyperrl_env.env:HyperRLEnv", kwargs={"env_id": "CartPole-v1"}
        )
    try:
        assert resolve_id("HyperRL-Lab") == "HyperRL-Lab-v10"
    finally:
        for version in (1, 10, 9):
            del gym.registry[f"HyperRL-Lab-v{version}"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("HyperRL-PPO-HalfChetah-v0", "did you mean HyperRL-PPO-HalfCheetah-v0"),
        ("hyperrl-ppo-ant", "did you mean HyperRL-PPO-Ant-v0"),
        ("HyperRL-PPO-Ant-v7", "did you mean HyperRL-PPO-Ant-v0"),
        ("HyperRL-PPO-MsPackman-v0", "did you mean HyperRL-PPO-MsPacman-v0"),
        ("Whatever", "and the same for every Atari game"),
        (
            "Whatever",
            "there are HyperRL-PPO-v0, HyperRL-A2C-v0, HyperRL-ACKTR-v0, HyperRL-PPO-HalfCheetah-v0",
        ),
        ("CartPole-v1", "'CartPole-v1' is no Hyper-RL, but may be the inner environment"),
        ("no_such_module:Mine-v0", "no_such_module"),
        ("", "There is no ''"),
        ("HyperRL-PPO-Ant-v0!", "did you mean HyperRL-PPO-Ant-v0"),
    ],
)
def test_other_names_are_refused_with_a_hint(name, message):
    with pytest.raises(ValueError, match=message):
        resolve_id(name)
