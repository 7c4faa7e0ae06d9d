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
        ("HyperRL-PPO-HalfChetah-v0", "Did you mean 'HyperRL-PPO-HalfCheetah-v0'"),
        ("hyperrl-ppo-ant", "Did you mean 'HyperRL-PPO-Ant-v0'"),
        ("HyperRL-PPO-Ant-v7", "Did you mean 'HyperRL-PPO-Ant-v0'"),
        ("HyperRL-PPO-MsPackman-v0", "Did you mean 'HyperRL-PPO-MsPacman-v0'"),
        ("PPO-Hopper", "Did you mean 'HyperRL-PPO-Hopper-v0'"),
        ("Hoper", "Did you mean 'HyperRL-PPO-Hopper-v0'"),
        ("CartPoll-v1", "Did you mean 'HyperRL-PPO-CartPole-v0'"),
        ("no_such_module:Mine-v0", "No module named 'no_such_module'\\. Run the command in the folder"),
        ("", "^Unknown id ''. `hyperrl list ids` shows all.$"),
        ("Whatever", "^Unknown id 'Whatever'. `hyperrl list ids` shows all.$"),
        ("HyperRL-PPO-Ant-v0!", "Did you mean 'HyperRL-PPO-Ant-v0'"),
    ],
)
def test_other_names_are_refused_with_a_hint(name, message):
    with pytest.raises(ValueError, match=message):
        resolve_id(name)


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("Hopper-v5", "HyperRL-PPO-Hopper-v0 (tuned settings) or HyperRL-PPO-v0 --set env_id=Hopper-v5."),
        ("Hopper", "HyperRL-PPO-Hopper-v0 (tuned settings) or HyperRL-PPO-v0 --set env_id=Hopper-v5."),
        ("ALE/Pong-v5", "HyperRL-PPO-Pong-v0 (tuned settings) or HyperRL-PPO-v0 --set env_id=ALE/Pong-v5."),
        ("Acrobot-v1", "HyperRL-PPO-v0 --set env_id=Acrobot-v1."),
        ("hyperrl_env:Acrobot-v1", "HyperRL-PPO-v0 --set env_id=hyperrl_env:Acrobot-v1."),
    ],
)
def test_an_inner_environment_is_told_how_to_be_trained_on(name, ways):
    with pytest.raises(ValueError, match="not a Hyper-RL") as error:
        resolve_id(name)
    assert str(error.value) == f"{name!r} is not a Hyper-RL environment. To train on it, use {ways}"
