"""A run that is cut at any moment and resumed leaves what an undisturbed run leaves."""

import csv
import errno
import io
import itertools
import json
import math
import multiprocessing
import os
import pkgutil
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray

from hyperrl_env import CheckpointError, InnerEnvError
from hyperrl_env.saving.checkpoint import read_checkpoint, write_checkpoint
from hyperrl_lab import checkpoints as checkpoints_module
from hyperrl_lab import log as log_module
from hyperrl_lab import run as run_module
from hyperrl_lab.checkpoints import CHECKPOINTS, Checkpoints
from hyperrl_lab.cli import main
from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config
from hyperrl_lab.lock import HOLDER_FILE, LOCK_FILE, FolderLock
from hyperrl_lab.results import read_episodes
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.studies.job import Job, carry_out, is_done

# Agents that keep what their choices have led to.
METHODS = (
    *("ultho", "lrrl", "hypercontroller", "adaptive_kl", "constant", "linear_decay"),
    *("controller", "random_schedule"),
    *("hoof", "tmg", "lookahead"),
)
# What tells the time, and so differs between any two runs.
CLOCKS = {"time/fps", "time/time_elapsed"}


def results(folder):
    """Everything that a finished run says, but for the time that it took."""
    with zipfile.ZipFile(folder / "model.zip") as model:
        networks = {
            name: torch.load(io.BytesIO(model.read(name)), weights_only=True)
            for name in ("policy.pth", "policy.optimizer.pth")
        }
    with open(folder / "progress.csv", newline="") as file:
        lines = [{k: v for k, v in line.items() if k not in CLOCKS} for line in csv.DictReader(file)]
    summary = json.loads((folder / "summary.json").read_text())
    events = [event for path in folder.glob("events*") for event in EventFileLoader(str(path)).Load()]
    scalars = sorted(
        (event.step, value.tag, float(make_ndarray(value.tensor)))
        for event in events
        for value in event.summary.value
        if value.tag not in CLOCKS
    )
    return {
        "networks": repr(flattened(networks)),
        "lines": lines,
        "scalars": scalars,
        "actions": (folder / "actions.parquet").read_bytes(),
        "episodes": (folder / "episodes.parquet").read_bytes(),
        "phases": (folder / "phases.parquet").read_bytes(),
        "summary": {k: v for k, v in summary.items() if k not in ("seconds", "steps_per_second")},
        "config": (folder / CONFIG_FILE).read_bytes(),
    }


def flattened(tree):
    if isinstance(tree, dict):
        return {key: flattened(value) for key, value in tree.items()}
    return tree.numpy().tobytes() if isinstance(tree, torch.Tensor) else tree


def train_until(config, folder, steps, **kwargs):
    """Trains until so many hyper-steps are taken; the summary."""
    run = TrainingRun(config, folder, **kwargs)
    return run.train(stop=lambda: run.progress.hyper_steps >= steps, pictures=False)


@pytest.fixture
def undisturbed(small, tmp_path):
    """`undisturbed(name)`: the folder of the whole run."""

    def train(name):
        folder = tmp_path / "undisturbed"
        TrainingRun(small[name], folder).train(pictures=False)
        return folder

    return train


@pytest.mark.parametrize("name", ["epgt", "dqn", "a2c", "box", "ppo", *METHODS])
def test_a_run_that_is_interrupted_twice_leaves_what_an_undisturbed_run_leaves(
    name, small, undisturbed, tmp_path
):
    folder = tmp_path / "cut"
    assert train_until(small[name], folder, 3)["status"] == "interrupted"
    config, _ = read_config(folder / CONFIG_FILE)
    # The clock goes on, too, from where the checkpoint was taken.
    seconds = read_checkpoint(max((folder / "checkpoints").iterdir()))["progress"]["seconds"]
    assert train_until(config, folder, 5, resume=True)["status"] == "interrupted"
    assert json.loads((folder / "summary.json").read_text())["seconds"] > seconds
    assert train_until(config, folder, 10**9, resume=True)["status"] == "finished"
    assert results(folder) == results(undisturbed(name))


def test_lines_keep_their_interval_where_n_steps_is_chosen(small, tmp_path, monkeypatch):
    """The interval comes from the number of phases that the run begins with: 16 here, 8 per line."""
    monkeypatch.setattr(log_module, "_MANY", 4)
    monkeypatch.setattr(log_module, "_LINES", 2)
    learner = {"n_steps": 32, "batch_size": 32, "n_epochs": 1}
    space = [{"name": "n_steps", "values": [8, 16, 32]}]
    kwargs = {"env_id": "CartPole-v1", "learner_kwargs": learner, "search_space": space}
    config = RunConfig("HyperRL-PPO-v0", "fixed", 3, 512, kwargs, {"action": "smallest"})
    TrainingRun(config, tmp_path / "undisturbed").train(pictures=False)
    train_until(config, tmp_path / "cut", 3)
    train_until(read_config(tmp_path / "cut" / CONFIG_FILE)[0], tmp_path / "cut", 10**9, resume=True)
    lines = results(tmp_path / "cut")["lines"]
    assert [int(line["time/phases"]) for line in lines][:3] == [1, 9, 17]
    assert lines == results(tmp_path / "undisturbed")["lines"]


def test_episodes_that_start_afresh_are_placed_where_they_end(small, tmp_path, registered):
    """Episodes of 10 steps, of a simulator that cannot be given back; cut where 32 steps are collected."""
    trap = tmp_path / "trap"
    registered("Fragile-v0", Fragile, max_episode_steps=10)
    learner = {"n_steps": 16, "batch_size": 16, "n_epochs": 2}
    kwargs = {"env_id": "Fragile-v0", "env_kwargs": {"trap": str(trap)}, "learner_kwargs": learner}
    config = RunConfig("HyperRL-PPO-v0", "random", 3, 96, kwargs)
    folder = tmp_path / "run"
    train_until(config, folder, 3)
    train_until(config, folder, 10**9, resume=True)
    assert read_episodes(folder)["env_steps"].tolist() == [10, 20, 30, 42, 52, 62, 72, 82, 92]


def test_what_was_logged_after_the_checkpoint_is_logged_once(small, undisturbed, tmp_path):
    """The worst moment: lines, events and columns are on the disk, and the checkpoint is old."""
    folder = tmp_path / "cut"

    class Killed(BaseException):
        pass

    run = TrainingRun(small["epgt"], folder)

    def kill(progress):
        if progress.phase == 5:
            run._log._tensorboard.writer.flush()
            raise Killed

    with pytest.raises(Killed):
        run.train(on_step=kill, pictures=False)
    assert len((folder / "progress.csv").read_text().splitlines()) > 3
    assert [path.name for path in (folder / CHECKPOINTS).iterdir()] == ["step-000000000000.zip"]
    train_until(read_config(folder / CONFIG_FILE)[0], folder, 10**9, resume=True)
    assert results(folder) == results(undisturbed("epgt"))


# ---------------------------------------------------------------------- real processes


def main_in_process(arguments, death):
    """The command line; `death` = (owner, name, n) kills it as it enters that function the nth time."""
    if death is not None:
        owner, name, calls = pkgutil.resolve_name(death[0]), *death[1:]
        function, count = getattr(owner, name), itertools.count(1)

        def deadly(*args, **kwargs):
            if next(count) == calls:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        setattr(owner, name, deadly)
    main(arguments)


@pytest.fixture(scope="module")
def start():
    """`start(arguments)`: the command line as a process, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    # Torch imports its compiler, which takes seconds, only when it makes an optimiser.
    context.set_forkserver_preload(["hyperrl_lab.cli", "torch._dynamo", "torch.utils.tensorboard"])

    def start(arguments, death=None):
        process = context.Process(
            target=main_in_process, args=([str(argument) for argument in arguments], death)
        )
        process.start()
        return process

    return start


# Enough hyper-steps for a checkpoint to be in the writing at any moment.
LONG = [
    *("HyperRL-PPO", "--agent", "random", "--seed", "3", "--total-env-steps", "32768"),
    *("--set", "env_id=CartPole-v1", "--set", "n_steps=64", "--set", "batch_size=32", "--set", "n_epochs=2"),
]
KILLS = 20
# Where a checkpoint is half written; written, and not yet on the disk; on the disk, without its name.
WHILE_WRITING = [("zipfile:ZipFile", "writestr"), ("os", "fsync"), ("os", "replace")]


def wait_for(condition, is_alive):
    deadline = time.monotonic() + 120
    while not condition() and is_alive():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_sigkill_at_random_moments(start, tmp_path):
    """Checkpoints are written all the time, and half of the kills come while one is being written."""
    cut, undisturbed = tmp_path / "cut", tmp_path / "undisturbed"
    assert main(["train", *LONG, "--out", str(undisturbed)]) == 0
    rng = random.Random(0)
    arguments, kills, left_behind = ["train", *LONG, "--out", cut, "--checkpoint-minutes", "0"], 0, 0
    for kill in range(KILLS):
        before = set((cut / CHECKPOINTS).glob("step-*"))
        if kill % 2:
            process = start(arguments, death=(*rng.choice(WHILE_WRITING), rng.randrange(5, 40)))
        else:
            process = start(arguments)
            # Every fourth while it starts up, which can be before there is anything at all.
            if kill % 4:
                wait_for(
                    lambda before=before: set((cut / CHECKPOINTS).glob("step-*")) - before, process.is_alive
                )
            time.sleep(rng.uniform(0, 0.2))
            process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        left_behind += bool(list((cut / CHECKPOINTS).glob(".*")))
        if (cut / CONFIG_FILE).exists():
            arguments = ["resume", cut, "--checkpoint-minutes", "0"]
    assert kills > KILLS / 2
    # What was half written is there under another name until the run goes on.
    assert left_behind > 0
    assert main(["resume", str(cut)]) == 0
    assert results(cut) == results(undisturbed)
    assert not list((cut / CHECKPOINTS).glob(".*"))


def test_sigkill_costs_an_agent_nothing(start, tmp_path):
    cut, undisturbed = tmp_path / "cut", tmp_path / "undisturbed"
    train = ["train", *LONG, "--agent", "hypercontroller", "--total-env-steps", "1024"]
    assert main([*train, "--out", str(undisturbed)]) == 0
    process = start([*train, "--out", cut, "--checkpoint-minutes", "0"], death=("os", "replace", 24))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert main(["resume", str(cut)]) == 0
    assert results(cut) == results(undisturbed)


@pytest.mark.parametrize("agent", ["random", "epgt"])
def test_a_run_that_is_killed_while_it_draws_gets_its_pictures(agent, start, tmp_path, capsys):
    folder = tmp_path / "run"
    small = {"n_steps": 64, "batch_size": 32, "n_epochs": 2}
    kwargs = {"env_id": "CartPole-v1", "learner_kwargs": small}
    configuration = RunConfig("HyperRL-PPO-v0", agent, 3, 1024, kwargs)
    interrupted = TrainingRun(configuration, folder)
    interrupted.train(stop=lambda: interrupted.progress.hyper_steps == 50)
    assert list(folder.glob("*.png"))
    process = start(["resume", folder], death=("hyperrl_lab.run", "draw_pictures", 1))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    # Those of the interruption show a part of the run.
    assert not list(folder.glob("*.png"))
    config = read_config(folder / CONFIG_FILE)[0]
    assert not is_done(folder, config, 0)
    assert main(["resume", str(folder)]) == 0
    assert "already finished; its pictures are drawn now" in capsys.readouterr().out
    pictures = {"learning_curve.png", "schedule.png"} | ({"memory.png"} if agent == "epgt" else set())
    assert {path.name for path in folder.glob("*.png")} == pictures
    assert is_done(folder, config, 0)
    # A study continues in the same way.
    (folder / "schedule.png").unlink()
    job = Job("run", folder, tmp_path / "run.log", config, 0, 5.0)
    assert carry_out(job, lambda snapshot: None, lambda: False).status == "finished"
    assert {path.name for path in folder.glob("*.png")} == pictures


def test_a_memory_with_too_few_keys_to_draw_leaves_nothing_to_do(tmp_path, capsys):
    kwargs = {"env_id": "CartPole-v1", "learner_kwargs": {"n_steps": 64, "batch_size": 64, "n_epochs": 1}}
    configuration = RunConfig("HyperRL-PPO-v0", "epgt", 3, 192, kwargs)
    TrainingRun(configuration, tmp_path).train()
    assert "memory.png" not in {path.name for path in tmp_path.iterdir()}
    config = read_config(tmp_path / CONFIG_FILE)[0]
    assert is_done(tmp_path, config, 0)
    assert main(["resume", str(tmp_path)]) == 0
    assert "already finished; nothing is left to do" in capsys.readouterr().out


def test_a_finished_run_stays_as_it_is(small, tmp_path, capsys):
    TrainingRun(small["ppo"], tmp_path).train(pictures=False)
    files = tree(tmp_path)
    assert main(["resume", str(tmp_path)]) == 0
    assert "already finished" in capsys.readouterr().out
    assert tree(tmp_path) == files


def test_sigterm_saves_and_says_so(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "hyperrl_lab", "train", *LONG, "--out", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for((folder / "progress.csv").exists, lambda: process.poll() is None)
    process.terminate()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert "interrupted after" in out
    steps = json.loads((folder / "summary.json").read_text())["hyper_steps"]
    newest = max((folder / CHECKPOINTS).iterdir())
    assert newest.name == f"step-{steps:012d}.zip"
    assert read_checkpoint(newest)["progress"]["hyper_steps"] == steps


def test_a_full_disk_costs_nothing_but_time(small, undisturbed, tmp_path, capsys):
    """A limit on file sizes stands for it: the checkpoint does not fit, the files beside it do."""
    folder = tmp_path / "run"
    train_until(small["ppo"], folder, 5)
    before = tree(folder / CHECKPOINTS)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, limits[1]))
    try:
        assert main(["resume", str(folder), "--checkpoint-minutes", "0"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    error = capsys.readouterr().err
    assert re.search(r"could not be written \(File too large\).*intact", error)
    assert error.count("\n") == 1
    assert tree(folder / CHECKPOINTS) == before
    assert main(["resume", str(folder)]) == 0
    assert results(folder) == results(undisturbed("ppo"))


def test_a_disk_that_is_full_at_the_pictures_costs_the_pictures_only(
    small_arguments, tmp_path, capsys, monkeypatch
):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_module, "draw_pictures", full)
    assert main(["train", *small_arguments, "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device. The results are kept.\n"
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "finished"


# ---------------------------------------------------------------------- the folder


def test_a_second_process_is_refused_with_the_first_ones_name(start, small_arguments, tmp_path, capsys):
    folder = tmp_path / "run"
    process = start(["train", *LONG, "--out", folder])
    wait_for((folder / "progress.csv").exists, process.is_alive)
    for command in (["resume", str(folder)], ["train", *small_arguments, "--out", str(folder)]):
        assert main(command) == 2
        assert re.search(
            rf"in use by process {process.pid} on {os.uname().nodename}", capsys.readouterr().err
        )
    process.kill()
    process.join()
    # The lock of a dead process holds nobody up.
    assert (folder / LOCK_FILE).exists()
    with FolderLock(folder):
        pass
    assert not (folder / LOCK_FILE).exists()
    assert not (folder / HOLDER_FILE).exists()


def test_a_lock_is_this_processs_alone(tmp_path):
    with FolderLock(tmp_path):
        with pytest.raises(FileExistsError, match=f"process {os.getpid()}"):
            FolderLock(tmp_path).__enter__()
        (tmp_path / HOLDER_FILE).write_text("")
        with pytest.raises(FileExistsError, match="another process"):
            FolderLock(tmp_path).__enter__()


def test_the_last_two_are_kept(small, tmp_path):
    TrainingRun(small["ppo"], tmp_path, checkpoint_minutes=0).train(pictures=False)
    names = sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir())
    assert names == ["step-000000000009.zip", "step-000000000010.zip"]


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def tree(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_damaged_checkpoint_is_named_and_the_one_before_does(small, undisturbed, tmp_path, capsys):
    folder = tmp_path / "run"
    train_until(small["ppo"], folder, 5, checkpoint_minutes=0)
    newest, before = Checkpoints(folder, 0).paths()
    damage(newest)
    assert main(["resume", str(folder)]) == 0
    warning = capsys.readouterr().err
    assert warning.startswith("warning: ")
    assert str(newest) in warning
    assert before.name in warning
    assert results(folder) == results(undisturbed("ppo"))


@pytest.mark.parametrize("how", ["damaged", "gone", "another seed", "another search space", "cut"])
def test_without_a_usable_checkpoint_nothing_is_started_or_changed(how, small, tmp_path, capsys):
    folder = tmp_path / "run"
    train_until(small["ppo"], folder, 5, checkpoint_minutes=0)
    for path in Checkpoints(folder, 0).paths():
        if how == "damaged":
            damage(path)
        elif how == "cut":
            path.write_bytes(path.read_bytes()[:1_000])
        elif how == "gone":
            path.unlink()
    if how.startswith("another"):
        content = json.loads((folder / CONFIG_FILE).read_text())
        if how == "another seed":
            content["run"]["seed"] = 4
        else:
            content["run"]["env_kwargs"]["search_space"] = ["clip_range"]
        (folder / CONFIG_FILE).write_text(json.dumps(content))
    files = tree(folder)
    assert main(["resume", str(folder)]) == 2
    message = {
        "damaged": "is damaged",
        "cut": "not a whole zip archive",
        "gone": "The checkpoints of the run in",
        "another seed": "seed is 3 there and 4 here",
        "another search space": "search_space",
    }[how]
    assert message in capsys.readouterr().err
    assert tree(folder) == files


def test_a_run_that_was_cut_before_its_first_step_starts(small, undisturbed, tmp_path):
    folder = tmp_path / "run"
    TrainingRun(small["ppo"], folder).close()
    assert [path.name for path in folder.iterdir()] == [CONFIG_FILE]
    assert main(["resume", str(folder)]) == 0
    assert results(folder) == results(undisturbed("ppo"))


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path, capsys):
    assert main(["resume", str(tmp_path / "nothing")]) == 2
    assert "config.json cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("minutes", ["-1", "nan", "inf"])
def test_impossible_minutes_are_refused(minutes, small_arguments, tmp_path, capsys):
    assert main(["train", *small_arguments, "--out", str(tmp_path), f"--checkpoint-minutes={minutes}"]) == 2
    assert "checkpoint_minutes must be at least 0" in capsys.readouterr().err


def test_an_environment_can_be_loaded_from_a_runs_checkpoint(small, tmp_path):
    train_until(small["ppo"], tmp_path, 5)
    env = run_module.make_env(small["ppo"])
    _, info = env.unwrapped.load(max((tmp_path / CHECKPOINTS).iterdir()))
    assert (info["phase"], info["update_step"]) == (1, 2)
    env.close()


# ---------------------------------------------------------------------- inner environments that fail


class Fragile(gym.Env):
    """Raises once its file is there; what it does is otherwise known before."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - declared so by gym.Env
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, trap, render_mode=None):
        self.trap, self.render_mode = Path(trap), render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        if self.trap.exists():
            raise ZeroDivisionError("the robot fell over")
        return np.zeros(2, np.float32), 1.0, False, False, {}


def test_a_run_whose_inner_environment_raises_can_be_resumed(
    small, tmp_path, capsys, monkeypatch, registered
):
    # So short a run would otherwise be over before it is time to keep another state.
    monkeypatch.setattr(checkpoints_module, "_SHARE", math.inf)
    registered("Fragile-v0", Fragile, max_episode_steps=10)
    trap, folder = tmp_path / "trap", tmp_path / "run"
    kwargs = {**small["ppo"].env_kwargs, "env_id": "Fragile-v0", "env_kwargs": {"trap": str(trap)}}
    config = RunConfig("HyperRL-PPO-v0", "random", 3, 192, kwargs)
    run = TrainingRun(config, folder)

    def spring(progress):
        if progress.phase == 1:
            trap.touch()

    with pytest.raises(InnerEnvError, match=r"environment step 129 .* seed 3"):
        run.train(on_step=spring, pictures=False)
    assert json.loads((folder / "summary.json").read_text())["status"] == "failed"
    # Not from the start: from a state that was kept in memory on the way.
    newest = Checkpoints(folder, 0).last()
    assert newest["progress"]["phase"] == 1
    assert main(["resume", str(folder)]) == 1
    assert "the robot fell over" in capsys.readouterr().err
    trap.unlink()
    assert main(["resume", str(folder)]) == 0
    assert json.loads((folder / "summary.json").read_text())["status"] == "finished"


class NeverBegins(Fragile):
    """Raises in a reset."""

    def reset(self, *, seed=None, options=None):
        if self.trap.exists():
            raise ZeroDivisionError("the robot does not start")
        return super().reset(seed=seed)


@pytest.mark.parametrize("fails_in", ["reset", "step"])
def test_a_run_that_never_began_is_one_error_and_no_resume_is_offered(
    fails_in, small, tmp_path, capsys, registered
):
    registered("Fragile-v0", NeverBegins if fails_in == "reset" else Fragile, max_episode_steps=10)
    trap, folder = tmp_path / "trap", tmp_path / "run"
    trap.touch()
    env = ["--set", "env_id=Fragile-v0", "--set", f'env_kwargs={{"trap": "{trap}"}}', "--set", "n_steps=64"]
    command = ["train", "HyperRL-PPO", "--seed", "3", "--total-env-steps", "192", *env]
    assert main([*command, "--out", str(folder)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "run with seed 3" in error
    said = "The first reset failed" if fails_in == "reset" else "environment step 1 "
    assert said in error
    assert "ZeroDivisionError: the robot " in error
    assert "There is no checkpoint yet." in error
    assert "resume" not in error


def test_an_inner_environment_that_cannot_be_made_is_one_error(tmp_path, capsys, registered):
    def fail():
        raise ZeroDivisionError("the robot has no body")

    registered("Fragile-v0", fail)
    command = ["train", "HyperRL-PPO", "--set", "env_id=Fragile-v0", "--out", str(tmp_path / "run")]
    assert main(command) == 1
    assert capsys.readouterr().err.startswith("error: The inner environment could not be made: ZeroDivision")
    assert not (tmp_path / "run").exists()


def test_a_reset_that_fails_on_resume_is_one_error_and_the_run_goes_on_later(
    small, tmp_path, capsys, registered
):
    registered("Fragile-v0", NeverBegins, max_episode_steps=10)
    trap, folder = tmp_path / "trap", tmp_path / "run"
    kwargs = {**small["ppo"].env_kwargs, "env_id": "Fragile-v0", "env_kwargs": {"trap": str(trap)}}
    train_until(RunConfig("HyperRL-PPO-v0", "random", 3, 192, kwargs), folder, 5)
    before = tree(folder)
    trap.touch()
    assert main(["resume", str(folder)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: The first reset failed in the run with seed ")
    assert error.count("\n") == 1
    assert tree(folder) == before
    trap.unlink()
    assert main(["resume", str(folder)]) == 0


def test_what_is_in_memory_is_written_only_where_it_is_newer(tmp_path):
    checkpoints = Checkpoints(tmp_path, 1e6)
    checkpoints.offer(3, lambda: {"at": 3})
    checkpoints.write(5, {"at": 5})
    checkpoints.write_remembered()
    assert checkpoints.last() == {"at": 5}
    checkpoints.offer(7, lambda: {"at": 7})
    checkpoints.write_remembered()
    assert checkpoints.last() == {"at": 7}


def test_files_that_a_killed_process_left_are_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path, 0)
    checkpoints.write(1, {})
    (tmp_path / CHECKPOINTS / ".step-000000000002.0123456789abcdef.zip").write_bytes(b"half")
    assert checkpoints.last() == {}
    checkpoints.write(3, {})
    assert sorted(p.name for p in (tmp_path / CHECKPOINTS).iterdir()) == [
        "step-000000000001.zip",
        "step-000000000003.zip",
    ]


def test_only_whole_checkpoints_count(tmp_path):
    folder = tmp_path / CHECKPOINTS
    folder.mkdir()
    for step in (1, 2):
        (folder / f"step-{step:012d}.zip").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-000000000002\.zip.*step-000000000001\.zip"):
        Checkpoints(tmp_path, 0).last()
    write_checkpoint(folder / "step-000000000001.zip", 1)
    said = []
    assert Checkpoints(tmp_path, 0).last(said.append) == 1
    assert len(said) == 1
    shutil.rmtree(folder)
    assert Checkpoints(tmp_path, 0).last() is None
