"""The example package, installed and used by name, as a user's own would be."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hyperrl_lab.config import read_config
from hyperrl_lab.results import read_actions

ROOT = Path(__file__).parents[1]
RUN = ["train", "HyperRL-PPO-Acrobot-v0", "--agent", "warm_up", "--set", "updates=8"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package, as pip installs it."""
    folder = tmp_path_factory.mktemp("example")
    # A build leaves files beside the source.
    source = shutil.copytree(ROOT / "examples" / "hyperrl-example", folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run(
        [*pip, "--no-build-isolation", "--target", folder / "site", source], check=True, capture_output=True
    )
    return folder / "site"


@pytest.fixture
def hyperrl(installed, tmp_path):
    """`hyperrl(arguments)`: the command line in a process that finds the package."""
    path = os.pathsep.join(map(str, (installed, ROOT)))

    def start(*arguments, wait=True):
        process = subprocess.Popen(
            [sys.executable, "-m", "hyperrl_lab", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "240"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return process.communicate()[0] if wait else process

    return start


def test_its_names_are_in_the_tables(hyperrl):
    assert "updates=100" in hyperrl("list", "agents", "warm_up")
    assert "Return of the best inner episode" in hyperrl("list", "hyper-rewards")
    assert "HyperRL-PPO-Acrobot-v0" in hyperrl("list", "ids", "Acrobot")


def test_its_agent_trains_its_task_for_its_hyper_reward_and_resumes(hyperrl, tmp_path):
    options = ["--total-env-steps", "1000", "--set", "hyper_reward=best_episode"]
    assert "finished" in hyperrl(*RUN, *options, "--out", "whole")
    config, _ = read_config(tmp_path / "whole" / "config.json")
    assert (config.agent, config.agent_kwargs) == ("warm_up", {"updates": 8})
    actions = read_actions(tmp_path / "whole")
    slow = actions["learning_rate"] < actions["default.learning_rate"]
    assert slow[:8].all()
    assert not slow[8:].any()
    process = hyperrl(*RUN, *options, "--out", "cut", "--checkpoint-minutes", "0", wait=False)
    checkpoints = tmp_path / "cut" / "checkpoints"
    while process.poll() is None and not list(checkpoints.glob("step-00000000000[3-9].zip")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert "finished" in hyperrl("resume", "cut")
    assert (tmp_path / "cut" / "actions.parquet").read_bytes() == (
        tmp_path / "whole" / "actions.parquet"
    ).read_bytes()


def test_its_agent_is_found_in_a_sweep(hyperrl, tmp_path):
    ids_and_agents = ["--id", "HyperRL-PPO-Acrobot-v0", "--agent", "warm_up", "--agent", "fixed"]
    options = ["--total-env-steps", "600", "--set", "n_steps=300", "--out", "study"]
    said = hyperrl("sweep", *ids_and_agents, "--seeds", "0", *options)
    assert "2          2        0             0" in said
    folders = sorted(path.parent.name for path in (tmp_path / "study").glob("*/summary.json"))
    assert folders == ["PPO-Acrobot-fixed-0", "PPO-Acrobot-warm_up-0"]
