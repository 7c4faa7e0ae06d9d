import json

import pytest

from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config, versions, write_config

FULL = RunConfig(
    id="HyperRL-PPO-v0",
    agent="epgt",
    seed=2**32 - 1,
    total_env_steps=1_000,
    env_kwargs={"env_id": "CartPole-v1", "learner_kwargs": {"n_steps": 16}, "normalize": None},
    agent_kwargs={"beta": 0.25, "rule": "max"},
    threads=2,
    log_interval=7,
)


@pytest.mark.parametrize("config", [FULL, RunConfig("HyperRL-A2C-Hopper-v0", "random")])
def test_comes_back_as_it_was_written(config, tmp_path):
    write_config(config, tmp_path)
    assert read_config(tmp_path / CONFIG_FILE) == (config, versions())
    assert [path.name for path in tmp_path.iterdir()] == [CONFIG_FILE]


def test_versions_name_what_decides_the_bits():
    assert {"python", "hyperrl", "torch", "stable-baselines3", "gymnasium", "numpy"} <= set(versions())


def test_a_value_that_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_config(RunConfig("HyperRL-PPO-v0", "epgt", env_kwargs={"env_fn": object()}), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("id", 3, "id must be a name"),
        ("agent", None, "agent must be a name"),
        ("seed", -1, "seed must be a whole number"),
        ("seed", 2**32, "seed must be a whole number"),
        ("seed", 1.5, "seed must be a whole number"),
        ("seed", True, "seed must be a whole number"),
        ("total_env_steps", 0, "total_env_steps must be a whole number of at least 1"),
        ("total_env_steps", "many", "total_env_steps must be a whole number"),
        ("threads", None, "threads must be a whole number of at least 1"),
        ("threads", 0, "threads must be a whole number of at least 1"),
        ("log_interval", -3, "log_interval must be a whole number of at least 1"),
        ("env_kwargs", [], "env_kwargs must map keywords"),
        ("agent_kwargs", {1: 2}, "agent_kwargs must map keywords"),
    ],
)
def test_impossible_fields_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        RunConfig(**{"id": "HyperRL-PPO-v0", "agent": "epgt", field: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("run"), "no object 'run'"),
        (lambda content: content.update(run=3), "no object 'run'"),
        (lambda content: content["run"].pop("seed"), r"missing keys: seed\."),
        (
            lambda content: content["run"].update(sed=1),
            "Unknown key 'sed'. Did you mean 'seed'. Valid keys: id,",
        ),
        (lambda content: content["run"].update(seed="0"), "config.json: seed must be a whole number"),
        (lambda content: content.update(versions=[]), "'versions' must be an object"),
    ],
)
def test_a_changed_file_is_refused(change, message, tmp_path):
    write_config(FULL, tmp_path)
    path = tmp_path / CONFIG_FILE
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_config(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00\xff"])
def test_what_is_no_configuration_is_refused(text, tmp_path):
    path = tmp_path / CONFIG_FILE
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"config\.json"):
        read_config(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.json cannot be read"):
        read_config(tmp_path / "nowhere.json")
