import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import agents
import hyperrl_env
from hyperrl_env import DEFINITIONS, HYPER_REWARDS, PRESETS, SETTINGS, TASKS, env_ids
from hyperrl_lab import run as run_module
from hyperrl_lab.cli import main
from hyperrl_lab.config import CONFIG_FILE, versions
from hyperrl_lab.listing import LISTINGS
from hyperrl_lab.results import ActionLog, read_actions, read_episodes


def listed(capsys, *arguments):
    """What `hyperrl list` prints."""
    assert main(["list", *arguments]) == 0
    return capsys.readouterr().out


def test_list_names_everything(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert all(f"hyperrl list {what} " in listed(capsys) for what in LISTINGS)
    out = "".join(listed(capsys, what) for what in LISTINGS)
    words = set(re.findall(r"[\w.-]+", out))
    games = {name for name, task in TASKS.items() if task.family == "atari"}
    assert {id_ for id_ in env_ids() if id_.split("-")[-2] not in games} <= words
    assert games <= words
    assert {"HyperRL-PPO-", "HyperRL-A2C-", "HyperRL-ACKTR-"} <= words  # before {Game}-v0
    for names in (agents.AGENTS, DEFINITIONS, PRESETS, HYPER_REWARDS):
        assert set(names) <= words
    for agent in agents.AGENTS:
        assert set(agents.keywords(agent)) <= words
    flat = " ".join(out.split())
    assert all(settings.source in flat for settings in SETTINGS.values())
    assert "learning_rate=0.0003 falling linearly to 0" in flat


@pytest.mark.parametrize("what", [None, *LISTINGS])
def test_lists_fit_80_columns(what, monkeypatch, capsys):
    """Beside the same at 240 columns, where every cell has the room that it wants."""
    arguments = [what] if what else []
    monkeypatch.delenv("COLUMNS", raising=False)
    wide = listed(capsys, *arguments)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = listed(capsys, *arguments)
    assert max(map(len, narrow.splitlines())) <= 80
    assert "…" not in narrow + wide
    words = [Counter(re.sub("─+", "", text).split()) for text in (narrow, wide)]
    assert words[0] == words[1]


def test_a_list_can_be_filtered(capsys):
    ids = set(re.findall(r"HyperRL-\S+", listed(capsys, "ids", "cheetah")))
    assert ids == {f"HyperRL-{algorithm}-HalfCheetah-v0" for algorithm in ("PPO", "A2C", "ACKTR")}
    assert "HyperRL-A2C-Pong-v0" in listed(capsys, "ids", "pong")
    assert set(listed(capsys, "games", "PACMAN").split()) >= {"MsPacman", "Pacman"}
    assert "Alien" not in listed(capsys, "games", "PACMAN")
    assert "dqn" not in listed(capsys, "agents", "k_read")
    assert "kl_clip" in listed(capsys, "hyperparameters", "acktr")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["agnets"], "Unknown list 'agnets'. Did you mean 'agents'? Valid lists: ids, games,"),
        (["ids", "hoper"], "Nothing in `hyperrl list ids` contains 'hoper'."),
    ],
)
def test_a_list_that_is_not_there_is_an_error(arguments, message, capsys):
    assert main(["list", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_a_warning_is_one_line_without_a_place_in_the_code(tmp_path):
    arguments = ["HyperRL-PPO-Pendulum-v0", "--agent", "prior", "--total-env-steps", "2048"]
    command = [sys.executable, "-m", "hyperrl_lab", "train", *arguments, "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: The experience says too little about runs of 2,048 environment steps")
    assert line.endswith("`hyperrl experience show PPO` lists what it is of.")


def test_the_version_stands_in_one_place(capsys):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"] == {"version": {"attr": "hyperrl_env.__version__"}}
    assert versions()["hyperrl"] == hyperrl_env.__version__
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"hyperrl {hyperrl_env.__version__}\n"


@pytest.mark.parametrize(("text", "steps"), [("5", 5), ("1e1", 10), ("0.03e3", 30), ("2.E+1", 20)])
def test_a_budget_can_be_in_scientific_notation(text, steps, tmp_path, capsys):
    arguments = ["HyperRL-PPO-v0", *ENV, "--total-env-steps", text, "--out", str(tmp_path / "out")]
    assert main(["train", *arguments]) == 2
    assert re.search(rf"total_env_steps must be .* at least 2048 .*, not {steps}\.$", capsys.readouterr().err)


@pytest.mark.parametrize("text", ["1.5", "1e-1", "nan", "inf", "1e999999999999", "many", ""])
def test_a_budget_is_a_whole_number(text, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["train", "HyperRL-PPO-v0", *ENV, "--total-env-steps", text])
    assert exit_.value.code == 2
    assert f"{text!r} is not a whole number like 100000 or 1e5" in capsys.readouterr().err


def test_train_leaves_results_and_says_where(small_arguments, tmp_path, capsys):
    assert main(["train", *small_arguments, "--out", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert "HyperRL-PPO-v0, agent random, seed 3, 192 env steps" in out
    assert "100 %" in out
    assert "finished after 192 env steps" in out
    assert f"results in {tmp_path / 'run'}" in out
    assert err == ""
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "summary.json", "learning_curve.png", "schedule.png"} <= files


def test_a_configuration_repeats_its_run(small_arguments, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["train", *small_arguments, "--out", str(first)]) == 0
    assert main(["train", "--config", str(first / CONFIG_FILE), "--out", str(second)]) == 0
    for file in (CONFIG_FILE, "actions.parquet", "episodes.parquet"):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    assert capsys.readouterr().err == ""


def test_other_versions_are_pointed_out(small_arguments, tmp_path, capsys):
    assert main(["train", *small_arguments, "--out", str(tmp_path)]) == 0
    content = json.loads((tmp_path / CONFIG_FILE).read_text())
    content["versions"] |= {"torch": "0.1", "torchvision": "2"}
    path = tmp_path / "other.json"
    path.write_text(json.dumps(content))
    assert main(["train", "--config", str(path), "--out", str(tmp_path / "second")]) == 0
    err = capsys.readouterr().err
    assert f"torch 0.1, here {versions()['torch']}; torchvision 2, here none" in err


def test_the_default_folder_names_the_run(small_arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *small_arguments]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"HyperRL-PPO-v0-random-3-\d{8}-\d{6}", folder.name)


ENV = ["--set", "env_id=CartPole-v1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give the ID of an environment"),
        (["HyperRL-PPO-HalfChetah"], "Did you mean 'HyperRL-PPO-HalfCheetah-v0'"),
        (["HyperRL-DDPG-v0"], "Did you mean 'HyperRL-PPO-v0'"),
        (
            ["CartPole-v1"],
            "HyperRL-PPO-CartPole-v0 (tuned settings) or HyperRL-PPO-v0 --set env_id=CartPole-v1",
        ),
        (["HyperRL-PPO-v0"], "give env_id or env_fn"),
        (["HyperRL-PPO-v0", "--set", "env_id=CartPoll-v1"], "CartPoll"),
        (["HyperRL-PPO-v0", "--set", "env_id=CartPole-v1", "--agent", "egpt"], "Did you mean 'epgt'"),
        (["HyperRL-PPO-v0", *ENV, "--set", "bta=3"], "Unknown key 'bta'. Did you mean 'beta'"),
        (["HyperRL-PPO-v0", *ENV, "--set", "beta"], "--set takes key=value"),
        (["HyperRL-PPO-v0", *ENV, "--set", "beta=3"], "beta must be a number in (0, 1]"),
        (["HyperRL-PPO-v0", *ENV, "--set", "seed=3"], "give --seed"),
        (["HyperRL-PPO-v0", *ENV, "--set", "search_space=mine"], "ppo-mujoco"),
        (["HyperRL-PPO-v0", *ENV, "--set", 'search_space={"gamma": 1}'], "gamma: give a list of values"),
        (["HyperRL-PPO-v0", *ENV, "--set", 'search_space=["clip"]'], "Unknown hyperparameter 'clip'"),
        (["HyperRL-PPO-v0", *ENV, "--set", "hyper_reward=profit"], "discounted_return"),
        (["HyperRL-PPO-v0", *ENV, "--set", "hyper_reward=episode_retrun"], "Did you mean 'episode_return'"),
        (["HyperRL-PPO-v0", *ENV, "--set", 'learner_kwargs={"n_step": 3}'], "Did you mean 'n_steps'"),
        (["HyperRL-PPO-v0", *ENV, "--set", "action_mode=both"], "multi_discrete"),
        (["HyperRL-PPO-v0", *ENV, "--set", "learner.n_steps=many"], "error: "),
        (["HyperRL-PPO-v0", *ENV, "--set", "learner.batch_size=1"], "error: "),
        (["HyperRL-PPO-v0", *ENV, "--total-env-steps", "5"], "total_env_steps must be"),
        (["HyperRL-PPO-v0", *ENV, "--seed", "-1"], "seed must be a whole number"),
        (["HyperRL-PPO-v0", *ENV, "--threads", "0"], "threads must be a whole number"),
        (["HyperRL-PPO-v0", *ENV, "--agent", "sb3"], "algorithm"),
        (["--config", "nowhere.json"], "nowhere.json cannot be read"),
        (["HyperRL-PPO-v0", "--config", "x.json"], "cannot be read"),
    ],
)
def test_errors_of_the_user_are_one_line(arguments, message, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["train", *arguments, "--out", str(out)]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert message in stderr
    assert "Traceback" not in stderr
    assert not out.exists()


def test_a_folder_that_holds_a_run_is_refused(small_arguments, tmp_path, capsys):
    arguments = ["train", *small_arguments, "--out", str(tmp_path)]
    assert main(arguments) == 0
    content = (tmp_path / "actions.parquet").read_bytes()
    capsys.readouterr()
    assert main(arguments) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert (tmp_path / "actions.parquet").read_bytes() == content


def test_a_folder_that_is_a_file_is_refused(small_arguments, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["train", *small_arguments, "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_configuration_takes_no_other_settings(small_arguments, tmp_path, capsys):
    assert main(["train", *small_arguments, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    arguments = ["train", "--config", str(tmp_path / CONFIG_FILE), "--seed", "0", "--set", "n_envs=2"]
    assert main([*arguments, "--out", str(tmp_path / "second")]) == 2
    assert "leave out --seed, --set" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["trian"], [], ["train", "--seed", "one"], ["train", "A", "B"]])
def test_what_cannot_be_parsed_shows_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: hyperrl" in capsys.readouterr().err


@pytest.mark.parametrize("agent", ["epgt", "random", "fixed", "dqn"])
@pytest.mark.parametrize(
    ("id_", "settings"),
    [
        ("HyperRL-A2C-MountainCarContinuous", []),
        ("HyperRL-PPO-Hopper", ["n_steps=100", "learner.batch_size=50", "n_epochs=2"]),
        ("HyperRL-PPO-LunarLanderContinuous", ["n_steps=100", "learner.batch_size=50", "n_epochs=2"]),
    ],
)
def test_every_agent_trains(agent, id_, settings, tmp_path):
    sets = [argument for setting in settings for argument in ("--set", setting)]
    arguments = ["train", id_, "--agent", agent, "--total-env-steps", "300", *sets, "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "finished"


def test_a_game_trains(tmp_path):
    sets = ["--set", "n_envs=2", "--set", "n_steps=8", "--set", "learner.batch_size=8", "--set", "n_epochs=1"]
    arguments = ["train", "HyperRL-PPO-Pong", "--agent", "epgt", "--total-env-steps", "48", *sets]
    assert main([*arguments, "--set", "embedding=random", "--out", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["env_steps"]) == ("finished", 48)


def start(tmp_path, steps=1_000_000):
    """A run in a process of its own, and a wait until it steps."""
    command = [sys.executable, "-m", "hyperrl_lab", "train", "HyperRL-A2C-MountainCarContinuous"]
    command += ["--agent", "epgt", "--total-env-steps", str(steps), "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        progress = tmp_path / "progress.csv"
        if progress.exists() and progress.read_text().count("\n") > 1:
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate())


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_ctrl_c_ends_with_what_there_is(tmp_path):
    process = start(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == ""
    assert "interrupted after" in out
    assert f"results in {tmp_path}" in out
    assert f"to continue: `hyperrl resume {tmp_path}`" in out
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert len(read_actions(tmp_path)["phase"]) == summary["hyper_steps"] > 0
    assert len(read_episodes(tmp_path)["return"]) == summary["episodes"]
    files = {path.name for path in tmp_path.iterdir()}
    assert {"model.zip", "vecnormalize.pkl", "learning_curve.png", "schedule.png", "config.json"} <= files
    assert not [name for name in files if name.startswith(".")]


def test_a_second_ctrl_c_ends_at_once(small_arguments, tmp_path, monkeypatch, capsys):
    def draw(*arguments):
        signal.raise_signal(signal.SIGINT)

    record, taken = ActionLog.record, []

    def record_and_interrupt(*arguments):
        record(*arguments)
        taken.append(1)
        if len(taken) == 5:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(ActionLog, "record", record_and_interrupt)
    monkeypatch.setattr(run_module, "draw_pictures", draw)
    assert main(["train", *small_arguments, "--out", str(tmp_path)]) == 130
    out, err = capsys.readouterr()
    assert err == "interrupted: stopped at once; nothing more was written\n"
    assert "results in" not in out
    assert len(taken) == len(read_actions(tmp_path)["phase"]) == 5
    assert signal.getsignal(signal.SIGINT) is before
