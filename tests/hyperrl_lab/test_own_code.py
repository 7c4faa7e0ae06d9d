"""What the user has written runs by its import path; a package in the place of `agents` is named."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hyperrl_lab.cli import main
from hyperrl_lab.config import CONFIG_FILE, read_config
from hyperrl_lab.importing import load
from hyperrl_lab.results import read_actions, read_episodes
from hyperrl_lab.run import TrainingRun

ROOT = Path(__file__).parents[2]
MODULE = "own_code_of_a_user"
SOURCE = """
import gymnasium as gym
import agents

def make_env(length=7):
    return gym.wrappers.TimeLimit(gym.make("CartPole-v1").unwrapped, length)

def shortest(phase):
    return float(min(phase.episode_lengths, default=0))

class EveryOther(agents.HyperAgent):
    def __init__(self, env, seed=0, smallest=0):
        super().__init__(env, seed)
        self.smallest, self.steps = smallest, 0

    def act(self, obs, info):
        self.steps += 1
        index = self.rng.integers(self.search_space.n_actions) if self.steps % 2 else self.smallest
        return self.search_space.joint_action(index)

    def state_dict(self):
        return {**super().state_dict(), "steps": self.steps}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.steps = state["steps"]

class NoAgent:
    pass

def no_agent(env, seed):
    return NoAgent()

number = 3
gym.register("OwnCode-v0", make_env)
"""
SMALL = ["HyperRL-PPO", *("--total-env-steps", "192", "--seed", "3")]
SMALL += ["--set", "n_steps=64", "--set", "batch_size=32", "--set", "n_epochs=2"]
OWN = ["--agent", f"{MODULE}:EveryOther", "--set", "smallest=2", "--set", f"hyper_reward={MODULE}:shortest"]
OWN += ["--set", f"env_fn={MODULE}:make_env", "--set", 'env_kwargs={"length": 9}']


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    """A working folder with the user's module in it."""
    (tmp_path / f"{MODULE}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop(MODULE, None)
    from gymnasium import registry

    registry.pop("OwnCode-v0", None)


def test_a_run_of_the_users_own_code_is_recorded_and_resumed(working_folder):
    path = list(sys.path)
    assert main(["train", *SMALL, *OWN, "--out", "whole"]) == 0
    assert sys.path == path
    whole = working_folder / "whole"
    assert set(read_episodes(whole)["length"]) <= set(range(1, 10))
    config = json.loads((whole / CONFIG_FILE).read_text())["run"]
    assert config["agent"] == f"{MODULE}:EveryOther"
    assert config["agent_kwargs"] == {"smallest": 2}
    assert config["env_kwargs"]["env_fn"] == f"{MODULE}:make_env"
    assert config["env_kwargs"]["hyper_reward"] == f"{MODULE}:shortest"

    sys.path.append("")
    try:
        run = TrainingRun(read_config(whole / CONFIG_FILE)[0], working_folder / "cut")
        run.train(stop=lambda: run.progress.hyper_steps >= 3, pictures=False)
    finally:
        sys.path.remove("")
    assert main(["resume", "cut"]) == 0
    assert main(["train", "--config", "whole/config.json", "--out", "again"]) == 0
    for name in ("cut", "again"):
        for file in ("actions.parquet", "episodes.parquet", CONFIG_FILE):
            assert (working_folder / name / file).read_bytes() == (whole / file).read_bytes()
    assert set(read_actions(whole)["hyper_reward"]) - {0.0} <= set(map(float, range(1, 10)))


def test_the_console_script_finds_a_module_in_the_working_folder(working_folder):
    """As an entry point does it: with the folder of the script, not the working folder, on the path."""
    script = working_folder / "bin" / "hyperrl"
    script.parent.mkdir()
    script.write_text("import sys\nfrom hyperrl_lab.cli import main\nsys.exit(main())\n")
    arguments = [*SMALL, "--set", f"env_fn={MODULE}:number", "--agent", "random", "--out", "run"]
    done = subprocess.run(
        [sys.executable, str(script), "train", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"error: '{MODULE}:number' must be a function or a class, not 3.\n"


def test_an_id_of_the_working_folder_trains(working_folder):
    arguments = [*SMALL, "--set", f"env_id={MODULE}:OwnCode-v0", "--agent", "random", "--out", "run"]
    assert main(["train", *arguments]) == 0
    assert set(read_episodes(working_folder / "run")["length"]) == {7}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--set", "env_fn=make_env"],
            "An import path must be module:name, like my_module:make_env, not 'make_env'",
        ),
        (["--set", "env_fn=no_such_module:f"], "No module named 'no_such_module'. Run the command in the"),
        (["--set", f"env_fn={MODULE}:make_evn"], "has no 'make_evn'. Did you mean 'make_env'?"),
        (["--set", f"env_fn={MODULE}:number"], "must be a function or a class, not 3"),
        (["--set", "env_fn=failing:f"], "Importing 'failing' failed: ZeroDivisionError: division by zero"),
        (
            ["--set", "env_fn=needing:f"],
            "Importing 'needing' failed: ModuleNotFoundError: No module named 'no_such",
        ),
        (["--set", "env_fn=3"], "env_fn must be an import path like my_module:make_env, not 3"),
        (["--set", f"hyper_reward={MODULE}:longest"], "has no 'longest'"),
        (["--agent", f"{MODULE}:EveryOthr"], "Did you mean 'EveryOther'?"),
        (["--agent", f"{MODULE}:NoAgent"], "a subclass of agents.HyperAgent, not <class"),
        (["--agent", f"{MODULE}:no_agent"], "which is not an agents.HyperAgent"),
        (["--agent", f"{MODULE}:shortest"], "Agent 'shortest' must take env and seed"),
        (["--agent", f"{MODULE}:EveryOther", "--set", "smalest=3"], "Did you mean 'smallest'?"),
    ],
)
def test_what_an_import_path_does_not_name_is_one_line(arguments, message, working_folder, capsys):
    (working_folder / "failing.py").write_text("1 / 0")
    (working_folder / "needing.py").write_text("import no_such_module")
    own = [] if any("env_fn" in argument for argument in arguments) else ["--set", "env_id=CartPole-v1"]
    assert main(["train", *SMALL, *own, *arguments, "--out", "run"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert not (working_folder / "run").exists()


def test_resume_names_the_module_that_is_gone(working_folder, capsys, monkeypatch):
    assert main(["train", *SMALL, *OWN, "--out", "run"]) == 0
    (working_folder / "run" / "summary.json").unlink()
    sys.modules.pop(MODULE)
    shutil.rmtree(working_folder / "__pycache__", ignore_errors=True)
    (working_folder / f"{MODULE}.py").unlink()
    capsys.readouterr()
    assert main(["resume", "run"]) == 2
    assert f"error: No module named '{MODULE}'" in capsys.readouterr().err


def test_an_import_path_names_what_python_would_import():
    assert load("json:dumps") is json.dumps
    assert load("os.path:join") is os.path.join


# ---------------------------------------------------------------- another package 'agents'


def without_agents(folder, path):
    """What importing the lab with this path says on stderr, started in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "hyperrl_lab", "list"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("file", ["agents/__init__.py", "agents.py"])
def test_another_package_agents_is_named_with_the_way_out(file, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("raise RuntimeError('not to be imported')")
    line = without_agents(tmp_path, [ROOT])
    assert line.startswith(f"ImportError: `import agents` finds another package ({tmp_path / file})")
    assert f"({ROOT / 'agents'})" in line
    assert "its own virtual environment" in line


def test_another_package_in_the_same_place_is_named(tmp_path):
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").touch()
    (tmp_path / "hyperrl_lab").mkdir()
    shutil.copy(ROOT / "hyperrl_lab" / "__init__.py", tmp_path / "hyperrl_lab")
    assert without_agents(tmp_path, [tmp_path]).startswith("ImportError: Another package has overwritten")
