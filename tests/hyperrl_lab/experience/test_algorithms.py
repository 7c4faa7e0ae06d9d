"""A2C and ACKTR learn from run to run as PPO does, each from runs of its own."""

import json
from dataclasses import replace

import numpy as np
import pytest

from agents.experience_file import write_experience
from agents.outcome_model import model_of
from hyperrl_lab.assignments import configure
from hyperrl_lab.cli import main
from hyperrl_lab.experience.build import build_experience
from hyperrl_lab.results import read_phases
from hyperrl_lab.run import TrainingRun

NAMES = {"A2C": ["learning_rate", "gae_lambda"], "ACKTR": ["learning_rate", "kl_clip"]}
ENV_STEPS = 320


@pytest.fixture(scope="module", params=NAMES)
def taught(request, tmp_path_factory):
    """An algorithm, and a file of its runs in which the score is the level of the learning rate."""
    algorithm, root = request.param, tmp_path_factory.mktemp(request.param)
    for seed in range(16):
        pairs = {"env_id": "CartPole-v1", "n_envs": 2, "hyperparameters": NAMES[algorithm]}
        config = configure(
            f"HyperRL-{algorithm}-v0", "random_schedule", pairs.items(), seed=seed, total_env_steps=ENV_STEPS
        )
        TrainingRun(config, root / "runs" / str(seed)).train(pictures=False)
    lived = build_experience([root / "runs"])
    runs = [replace(run, score=run.line("learning_rate").level) for run in lived.runs]
    write_experience(replace(lived, runs=runs), root / "taught.parquet")
    return algorithm, replace(lived, runs=runs), root / "taught.parquet"


def train(algorithm, agent, path, out, *settings):
    command = ["train", f"HyperRL-{algorithm}-v0", "--agent", agent, "--total-env-steps", str(ENV_STEPS)]
    for setting in ("env_id=CartPole-v1", "n_envs=2", f"experience={path}", *settings):
        command += ["--set", setting]
    return main([*command, "--out", str(out)])


def test_the_prior_plays_what_ended_best(taught, tmp_path, capsys):
    algorithm, experience, path = taught
    assert experience.algorithm == algorithm
    assert model_of(experience, (False, False)).names == tuple(NAMES[algorithm])
    assert train(algorithm, "prior", path, tmp_path / "run") == 0
    rates = read_phases(tmp_path / "run")
    # Drawn were levels from 1/8 to 8 times the task's own.
    assert np.mean(rates["learning_rate"][1:] / rates["default.learning_rate"][1:]) > 2.0
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["run"]["agent_kwargs"]
    assert kept["experience"] == str(path)


def test_a_memory_is_carried(taught, tmp_path, capsys):
    algorithm, _, path = taught
    second = {"gae_lambda": [0.77, 0.95, 1.0], "kl_clip": {"multipliers": [0.25, 1, 4]}}[NAMES[algorithm][1]]
    space = {"learning_rate": {"multipliers": [0.125, 1, 8]}, NAMES[algorithm][1]: second}
    wide = f"search_space={json.dumps(space)}"
    assert train(algorithm, "epgt", path, tmp_path / "run", wide, "epsilon_start=0.01") == 0
    rates = read_phases(tmp_path / "run")
    assert np.mean(rates["learning_rate"][1:] / rates["default.learning_rate"][1:]) > 2.0


@pytest.mark.parametrize("agent", ["prior", "epgt"])
def test_it_is_not_given_to_another_algorithm(taught, agent, tmp_path, capsys):
    algorithm, _, path = taught
    other = {"A2C": "ACKTR", "ACKTR": "A2C"}[algorithm]
    assert train(other, agent, path, tmp_path / "run") == 2
    assert f"is of {algorithm}, and this environment trains {other}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
