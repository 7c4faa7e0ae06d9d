"""A sweep does every run of a study once, whatever happens to it."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hyperrl_lab.cli import main
from hyperrl_lab.config import RunConfig
from hyperrl_lab.evaluation import evaluate
from hyperrl_lab.experience.build import build_experience
from hyperrl_lab.lock import FolderLock
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.studies.board import Board
from hyperrl_lab.studies.job import Ending, Job, Snapshot, carry_out
from hyperrl_lab.studies.record import read_record
from hyperrl_lab.studies.study import Method, StudyTask
from hyperrl_lab.studies.sweep import sweep
from hyperrl_lab.studies.table import runs_table

SECONDS = 300


class Here:
    """An executor without processes: carries out each run when it is submitted."""

    free = True

    def __init__(self):
        self.submitted, self._news = [], []

    def submit(self, job):
        self.submitted.append(job.name)
        job.log.touch()
        self._news.append((job.name, carry_out(job, lambda snapshot: None, lambda: False)))

    def events(self, seconds):
        while self._news:
            yield self._news.pop()

    def stop(self): ...

    def close(self): ...


def started(arguments, folder):
    """`hyperrl sweep` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "hyperrl_lab", "sweep", *arguments, "--out", str(folder)],
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
    )


def under_way(folder):
    """Runs that have checkpoints and no results."""
    return [
        run.parent.name
        for run in folder.glob("*/checkpoints")
        if len(list(run.glob("step-*"))) > 1 and not (run.parent / "summary.json").exists()
    ]


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sweep_that_is_killed_and_started_again_leaves_what_undisturbed_runs_leave(
    two_by_three_by_three, undisturbed, table_of, as_toml, wait_for, tmp_path, capfd
):
    study, folder = two_by_three_by_three, tmp_path / "sweep"
    arguments = [str(as_toml(study, tmp_path / "study.toml")), "--workers", "2", "--checkpoint-minutes", "0"]
    process = started(arguments, folder)
    wait_for(lambda: len(list(folder.glob("*/summary.json"))) > 3 and under_way(folder))
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    cut = under_way(folder)
    assert cut
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/model.zip")}
    assert 3 < len(before) < 18
    assert main(["sweep", *arguments, "--out", str(folder)]) == 0
    assert capfd.readouterr().out.split()[-4:] == ["18", "18", "0", "0"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    runs = [run.folder for run in study.runs()]
    assert table_of(folder, runs) == undisturbed(study)
    assert [run.folder for run in read_record(folder).runs] == runs
    assert all("continuing after " in (folder / "logs" / f"{run}.log").read_text() for run in cut)


MODULE = """
import os, signal
import gymnasium as gym

class Fragile(gym.Wrapper):
    def __init__(self, how):
        super().__init__(gym.make("CartPole-v1"))
        self.how, self.steps = how, 0

    def step(self, action):
        self.steps += 1
        if self.steps == 100:
            if self.how == "raise":
                raise RuntimeError("the robot fell over")
            os.kill(os.getpid(), signal.SIGKILL) if self.how == "kill" else os._exit(7)
        return super().step(action)
"""


@pytest.fixture
def fragile(tmp_path, monkeypatch, one_study):
    """`fragile(how)`: a task that fails after 100 environment steps."""
    (tmp_path / "fragile_envs.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)

    def task(how):
        (cart,) = one_study().tasks
        settings = {**cart.settings, "env_fn": "fragile_envs:Fragile", "env_kwargs": {"how": how}}
        return StudyTask(cart.id, how, settings={k: v for k, v in settings.items() if k != "env_id"})

    return task


def test_a_run_that_fails_or_whose_process_dies_stops_no_other(fragile, one_study, as_toml, tmp_path, capfd):
    study = one_study(tasks=[*map(fragile, ("raise", "kill", "exit")), *one_study().tasks])
    path, folder = as_toml(study, tmp_path / "study.toml"), tmp_path / "sweep"
    assert main(["sweep", str(path), "--out", str(folder), "--workers", "1"]) == 1
    out, err = capfd.readouterr()
    assert err == ""
    *_, counts, raised, killed, exited = out.splitlines()
    assert counts.split() == ["4", "1", "3", "0"]
    log = folder / "logs" / "raise-random-0.log"
    assert re.fullmatch(rf"raise-random-0: InnerEnvError: .*the robot fell over.* \(log: {log}\)", raised)
    assert killed.startswith("kill-random-0: its process was killed by SIGKILL")
    assert exited.startswith("exit-random-0: its process ended with exit code 7 (log: ")
    assert "Traceback" in log.read_text()
    assert (folder / "cart-random-0" / "summary.json").exists()
    assert list((folder / "raise-random-0" / "checkpoints").iterdir())


def test_a_log_that_cannot_be_written_stops_no_other_run(one_study, tmp_path):
    def begin(board):
        # The first run of a process, and one that a process is to take after another.
        for seed in (0, 2):
            (tmp_path / "logs" / f"cart-random-{seed}.log").mkdir()

    outcome = sweep(one_study(seeds=[0, 1, 2]), tmp_path, workers=1, begin=begin)
    assert outcome.finished == ("cart-random-1",)
    assert [failure.run for failure in outcome.failed] == ["cart-random-0", "cart-random-2"]
    assert all(f"{failure.run}.log" in failure.error and failure.log is None for failure in outcome.failed)


def test_a_folder_that_cannot_be_read_stops_no_other_run(one_study, tmp_path, monkeypatch):
    def unreadable(folder, *_):
        if folder.name == "cart-random-0":
            raise PermissionError(f"Permission denied: {folder}")
        return False

    monkeypatch.setattr("hyperrl_lab.studies.sweep.is_done", unreadable)
    outcome = sweep(one_study(seeds=[0, 1]), tmp_path, executor=Here())
    assert outcome.finished == ("cart-random-1",)
    assert "Permission denied" in outcome.failed[0].error


@pytest.mark.parametrize("name", ["m" * 250, "\N{GREEK SMALL LETTER ALPHA}" * 130])
def test_a_name_that_is_too_long_for_a_folder_is_an_error_before_anything_runs(one_study, tmp_path, name):
    here, folder = Here(), tmp_path / "sweep"
    with pytest.raises(ValueError, match=r"'cart-.*-0' has \d+ bytes, .* at most 250\. Give .* short"):
        sweep(one_study(methods=[Method("random"), Method("random", name)]), folder, executor=here)
    assert here.submitted == []
    assert not folder.exists()
    assert one_study(methods=[Method("random", "m" * 240)]).runs()


def test_two_sweeps_of_one_folder_do_each_run_once(one_study, tmp_path):
    study, folder = one_study(seeds=[0, 1, 2], evaluate_episodes=1), tmp_path / "sweep"
    outcomes = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(sweep(study, folder, workers=1))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    runs = tuple(run.folder for run in study.runs())
    assert [outcome.finished for outcome in outcomes] == [runs, runs]
    for run in runs:
        log = (folder / "logs" / f"{run}.log").read_text()
        assert log.count("192 env steps\n") == 1


def test_what_another_process_has_is_waited_for(one_study, tmp_path):
    study, folder = one_study(seeds=[0, 1]), tmp_path / "sweep"
    held = folder / "cart-random-0"
    held.mkdir(parents=True)
    seen, lock = [], FolderLock(held)

    def watch(entry):
        seen.append((entry.job.name, entry.state))
        if entry.job.name == "cart-random-1" and entry.state == "finished":
            lock.__exit__(None, None, None)

    with lock:
        # It has begun the run.
        assert sweep(one_study(), tmp_path / "other", executor=Here()).finished
        (held / "config.json").write_bytes((tmp_path / "other/cart-random-0/config.json").read_bytes())
        outcome = sweep(study, folder, executor=Here(), watch=watch)
    assert outcome.finished == ("cart-random-0", "cart-random-1")
    assert seen == [
        ("cart-random-0", "running"),
        ("cart-random-1", "running"),
        ("cart-random-1", "finished"),
        ("cart-random-0", "elsewhere"),
        ("cart-random-0", "running"),
        ("cart-random-0", "finished"),
    ]


def test_a_run_that_another_process_keeps_is_not_begun_again_and_again(one_study, tmp_path, monkeypatch):
    monkeypatch.setattr("hyperrl_lab.studies.board._RETRY_SECONDS", 0.0)
    held, here, looks = tmp_path / "sweep" / "cart-random-0", Here(), itertools.count()
    held.mkdir(parents=True)
    lock = FolderLock(held)

    def stop():
        look = next(looks)
        if look == 5:
            lock.__exit__(None, None, None)
        return look > 20

    with lock:
        assert sweep(one_study(), tmp_path / "other", executor=Here()).finished
        (held / "config.json").write_bytes((tmp_path / "other/cart-random-0/config.json").read_bytes())
        outcome = sweep(one_study(), tmp_path / "sweep", executor=here, stop=stop)
    assert outcome.finished == ("cart-random-0",)
    # Once to find out, and once when it was free.
    assert here.submitted == ["cart-random-0", "cart-random-0"]


def test_a_study_that_has_grown_does_only_what_is_new(one_study, tmp_path):
    first, more = Here(), Here()
    sweep(one_study(), tmp_path, executor=first)
    grown = one_study(seeds=[0, 1], methods=[Method("fixed"), Method("random")])
    outcome = sweep(grown, tmp_path, executor=more)
    assert first.submitted == ["cart-random-0"]
    assert more.submitted == ["cart-fixed-0", "cart-fixed-1", "cart-random-1"]
    assert len(outcome.finished) == 4
    # Part of it: what is recorded stays recorded.
    sweep(one_study(seeds=[5]), tmp_path, executor=more)
    assert [run.folder for run in read_record(tmp_path).runs] == [
        *("cart-random-5", "cart-fixed-0", "cart-random-0", "cart-fixed-1", "cart-random-1")
    ]


def test_a_folder_of_another_run_is_left_alone_and_the_rest_goes_on(one_study, tmp_path):
    sweep(one_study(), tmp_path, executor=Here())
    before = tree(tmp_path / "cart-random-0")
    outcome = sweep(one_study(total_env_steps=256, seeds=[0, 1]), tmp_path, executor=Here())
    assert outcome.finished == ("cart-random-1",)
    (failure,) = outcome.failed
    assert "holds another run: total_env_steps is 192 there and 256 here." in failure.error
    assert tree(tmp_path / "cart-random-0") == before


def test_a_missing_evaluation_is_made_up_for(one_study, tmp_path, table_of, undisturbed):
    sweep(one_study(), tmp_path, executor=Here())
    study, again = one_study(evaluate_episodes=2), Here()
    sweep(study, tmp_path, executor=again)
    assert again.submitted == ["cart-random-0"]
    assert table_of(tmp_path, again.submitted) == undisturbed(study)
    sweep(one_study(evaluate_episodes=1), tmp_path, executor=again)
    assert len(again.submitted) == 1
    sweep(one_study(evaluate_episodes=3), tmp_path, executor=again)
    assert len(again.submitted) == 2


def test_an_evaluation_of_a_half_trained_policy_is_due_again(
    one_study, tmp_path, table_of, undisturbed, capsys
):
    study, executor = one_study(evaluate_episodes=2), Here()
    (run,) = study.runs()
    folder = tmp_path / run.folder
    half = TrainingRun(run.config, folder)
    half.train(stop=lambda: half.progress.env_steps > 64, pictures=False)
    early = evaluate(folder, 2)
    assert runs_table(folder)["evaluation_mean"].to_pylist() == [early["mean_return"]]
    assert main(["resume", str(folder)]) == 0
    assert runs_table(folder)["evaluation_mean"].to_pylist() == [None]
    assert build_experience([folder]).runs[0].evaluation is None
    capsys.readouterr()
    assert main(["show", str(folder)]) == 0
    assert "deterministic" not in capsys.readouterr().out
    sweep(study, tmp_path, executor=executor)
    assert executor.submitted == [run.folder]
    assert table_of(tmp_path, [run.folder]) == undisturbed(study)


def test_files_of_others_are_never_touched(one_study, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds 'logs', which no sweep wrote"):
        sweep(one_study(), tmp_path, executor=Here())
    (tmp_path / "logs").rmdir()
    (tmp_path / "study.json").write_text("mine too")
    with pytest.raises(ValueError, match=r"study\.json is not the record of a study"):
        sweep(one_study(), tmp_path, executor=Here())
    (tmp_path / "study.json").unlink()
    taken = tmp_path / "cart-random-0"
    taken.mkdir()
    (taken / "thesis.tex").write_text("mine as well")
    outcome = sweep(one_study(seeds=[0, 1]), tmp_path, executor=Here())
    assert "is not empty: it holds 'thesis.tex'" in outcome.failed[0].error
    assert outcome.finished == ("cart-random-1",)
    assert tree(taken).keys() == {(taken / "thesis.tex").relative_to(taken)}
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_tasks_own_budget_is_written_down(one_study, tmp_path):
    jobs = []

    class Nothing(Here):
        def submit(self, job):
            jobs.append(job)
            self._news.append((job.name, Ending("interrupted")))

    study = one_study(tasks=[StudyTask("HyperRL-A2C-CartPole-v0"), *one_study().tasks], total_env_steps=None)
    assert sweep(study, tmp_path, executor=Nothing()).interrupted == (
        "A2C-CartPole-random-0",
        "cart-random-0",
    )
    assert [job.config.total_env_steps for job in jobs] == [500_000, 1_000_000]
    assert [Job.from_plain(json.loads(json.dumps(job.to_plain()))) for job in jobs] == jobs


def test_sigterm_asks_all_runs_to_write_a_checkpoint_and_end(wait_for, tmp_path, capsys):
    run = tmp_path / "PPO-CartPole-random-0"

    def terminate():
        wait_for(lambda: list(run.glob("checkpoints/step-*")))
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate)
    thread.start()
    arguments = ["--id", "HyperRL-PPO-CartPole-v0", "--agent", "random", "--seeds", "0,1"]
    more = ["--total-env-steps", "1e6", "--workers", "1", "--out", str(tmp_path)]
    assert main(["sweep", *arguments, *more]) == 143
    thread.join()
    assert json.loads((run / "summary.json").read_text())["status"] == "interrupted"
    assert not (tmp_path / "PPO-CartPole-random-1").exists()
    assert capsys.readouterr().out.splitlines()[-1] == "to continue: the same command again"


def test_a_run_whose_sweep_is_gone_writes_a_checkpoint_and_ends(one_study, wait_for, tmp_path):
    (run,) = one_study(total_env_steps=10**6).runs()
    job = Job(run.folder, tmp_path / "run", tmp_path / "log", run.config, 0, 5.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "hyperrl_lab.studies.worker"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    process.stdin.write(json.dumps(job.to_plain()).encode() + b"\n")
    process.stdin.flush()
    wait_for(lambda: list(job.folder.glob("checkpoints/step-*")))
    process.stdin.close()
    assert process.wait(SECONDS) == 0
    assert json.loads((job.folder / "summary.json").read_text())["status"] == "interrupted"


def test_the_time_left_by_hand():
    def job(name, steps):
        config = RunConfig("HyperRL-PPO-v0", "random", total_env_steps=steps)
        return Job(name, Path(name), Path(f"{name}.log"), config, 0, 5.0)

    board = Board([job("a", 1_000), job("b", 1_000), job("c", 400)])
    assert board.seconds_left() is None
    for name in "ab":
        board.take(name, Ending("running"))
    board.take("a", Snapshot("training", 800, None, 20.0, 10.0))
    board.take("b", Snapshot("training", 200, None, 60.0, 14.0))
    # 200 + 800 + 400 steps at 80 per second; and a run that takes longer by itself.
    assert board.seconds_left() == 1_400 / 80
    board.take("b", Snapshot("training", 200, None, 60.0, 99.0))
    assert board.seconds_left() == 99.0
