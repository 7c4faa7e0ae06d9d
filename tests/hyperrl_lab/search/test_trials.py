import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from hyperrl_lab import run as run_module
from hyperrl_lab.cli import main
from hyperrl_lab.config import read_config
from hyperrl_lab.evaluation import evaluate
from hyperrl_lab.experience.build import build_experience
from hyperrl_lab.results import read_actions
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.search import record
from hyperrl_lab.search import trials as module
from hyperrl_lab.search.methods import search_config
from hyperrl_lab.search.trials import run_trials
from hyperrl_lab.studies.curves import curves
from hyperrl_lab.studies.table import runs_table

SECONDS = 300


def search(folder, config, choices, **kwargs):
    return run_trials(config, folder, choices, pictures=False, **kwargs)


def details(folder):
    return json.loads((folder / "search.json").read_text())


def points(folder):
    return [tuple(run["hyperparameters"].values()) for run in details(folder)["runs"]]


class SyntheticRun:
    """Instead of a training run: a score that is known, at a cost that is known."""

    def __init__(self, config, folder, **kwargs):
        self.values, self.folder, self.config = config.agent_kwargs["action"], folder, config

    def train(self, **kwargs):
        rate, clip = math.log10(self.values["learning_rate"]), self.values["clip_range"]
        score = -((rate + 3) ** 2) - (10 * (clip - 0.3)) ** 2
        summary = {"status": "finished", "mean_return": score, "env_steps": 100, "seconds": 2.0}
        self.folder.mkdir(parents=True)
        (self.folder / "summary.json").write_text(json.dumps(summary))
        return summary


@pytest.fixture
def synthetic(monkeypatch):
    monkeypatch.setattr(module, "TrainingRun", SyntheticRun)


def test_a_grid_takes_every_point_once_and_finds_the_best(run_config, grid, tmp_path, synthetic):
    config, choices = search_config(run_config(grid), "grid")
    summary = search(tmp_path / "search", config, choices)
    assert sorted(points(tmp_path / "search")) == sorted(itertools.product(*grid.values()))
    assert details(tmp_path / "search")["best"]["hyperparameters"] == {
        "learning_rate": 1e-3,
        "clip_range": 0.3,
    }
    assert (summary["status"], summary["runs"], summary["env_steps"]) == ("finished", 6, 600)
    assert (summary["seconds"], summary["mean_return"]) == (12.0, pytest.approx(0))


def test_bayes_comes_closer_to_the_best_than_random_search(run_config, grid, tmp_path, synthetic):
    space = {"learning_rate": {"low": 1e-6, "high": 1e-1}, "clip_range": {"low": 0.1, "high": 0.9}}
    found = {}
    for method in ("random_search", "bayes"):
        config, choices = search_config(run_config(space), method, trials=25)
        found[method] = search(tmp_path / method, config, choices)["mean_return"]
        assert len(set(points(tmp_path / method))) == 25
    assert -0.5 < found["bayes"] <= 0
    assert found["bayes"] > found["random_search"]


@pytest.mark.parametrize("method", ["grid", "random_search", "bayes"])
def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not(run_config, grid, tmp_path, synthetic, method):
    config, choices = search_config(run_config(grid), method, trials=None if method == "grid" else 6)
    search(tmp_path / "whole", config, choices)

    class CutOff(SyntheticRun):
        def train(self, **kwargs):
            if self.folder.name == "0003":
                raise KeyboardInterrupt
            return super().train(**kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TrainingRun", CutOff)
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "cut", config, choices)
    told = []
    search(tmp_path / "cut", config, choices, on_trial=told.append)
    assert [trial["folder"] for trial in told] == ["trials/0003", "trials/0004", "trials/0005"]
    assert details(tmp_path / "cut") == details(tmp_path / "whole")


@pytest.mark.parametrize("method", ["grid", "random_search", "bayes"])
def test_a_trial_that_was_cut_off_before_it_had_all_values_gets_those_of_an_undisturbed_search(
    run_config, grid, tmp_path, synthetic, monkeypatch, method
):
    # Bayesian optimisation looks at earlier trials from the eleventh on.
    trials = {"grid": 6, "random_search": 4, "bayes": 13}[method]
    config, choices = search_config(run_config(grid), method, trials=None if method == "grid" else trials)
    search(tmp_path / "whole", config, choices)
    # In the storage alone, known to its sampler, and with its first value.
    cuts = {(trials - 3, "sampler"), (trials - 2, "learning_rate"), (trials - 1, "clip_range")}
    make, suggest = module.sampler, module._suggest

    def cut(*place):
        if place in cuts:
            cuts.remove(place)
            raise KeyboardInterrupt

    def cut_sampler(config, choices, number):
        made = make(config, choices, number)
        before_trial = made.before_trial
        made.before_trial = lambda study, trial: cut(number, "sampler") or before_trial(study, trial)
        return made

    def cut_suggest(trial, name, range_):
        cut(trial.number, name)
        return suggest(trial, name, range_)

    monkeypatch.setattr(module, "sampler", cut_sampler)
    monkeypatch.setattr(module, "_suggest", cut_suggest)
    assert list(choices) == ["learning_rate", "clip_range"]
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "cut", config, choices)
    search(tmp_path / "cut", config, choices)
    assert details(tmp_path / "cut") == details(tmp_path / "whole")


def test_the_trial_that_was_cut_off_is_resumed_from_its_checkpoint(run_config, grid, tmp_path):
    config, choices = search_config(run_config({"learning_rate": [1e-4, 1e-2]}), "grid")
    summary = search(tmp_path / "whole", config, choices)
    asked = itertools.count()
    interrupted = search(tmp_path / "cut", config, choices, stop=lambda: next(asked) > 5)
    assert (interrupted["status"], interrupted["runs"]) == ("interrupted", 1)
    resumed, run = [], TrainingRun

    def resuming(*args, **kwargs):
        resumed.append((Path(args[1]).name, kwargs["resume"]))
        return run(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TrainingRun", resuming)
        continued = search(tmp_path / "cut", config, choices)
    assert resumed == [("0001", True)]
    assert details(tmp_path / "cut") == details(tmp_path / "whole")
    for name in ("mean_return", "env_steps", "episodes", "best", "runs"):
        assert continued[name] == summary[name]
    assert summary["env_steps"] == 2 * 256


def test_a_trial_that_was_killed_while_it_drew_gets_its_pictures(run_config, tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    config, choices = search_config(run_config({"learning_rate": [1e-4, 1e-2]}), "grid")
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "draw_pictures", killed)
        with pytest.raises(KeyboardInterrupt):
            run_trials(config, tmp_path, choices)
    run_trials(config, tmp_path, choices)
    for folder in (tmp_path, tmp_path / "trials" / "0000", tmp_path / "trials" / "0001"):
        assert {path.name for path in folder.glob("*.png")} == {"learning_curve.png", "schedule.png"}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_never_the_best(bad):
    runs = [{"score": score} for score in (bad, 1.0, None, 2.0)]
    assert record.best(runs) == {"score": 2.0}
    assert record.best(runs[::-1]) == {"score": 2.0}
    assert record.best(runs[:1]) is None


@pytest.mark.parametrize("best", [0, 1])
def test_an_evaluation_of_a_search_lasts_as_long_as_its_best_run(run_config, tmp_path, monkeypatch, best):
    monkeypatch.setattr(record, "best", lambda runs: runs[min(best, len(runs) - 1)])
    config, choices = search_config(run_config({"learning_rate": [1e-4, 1e-2]}), "grid")
    asked = itertools.count()
    assert search(tmp_path, config, choices, stop=lambda: next(asked) > 5)["runs"] == 1
    mean = evaluate(tmp_path, 1)["mean_return"]
    assert search(tmp_path, config, choices)["best"] == f"trials/000{best}"
    assert runs_table(tmp_path)["evaluation_mean"].to_pylist() == [None if best else mean]


def test_a_search_is_as_long_as_its_best_run_and_its_cost_stands_beside(run_config, tmp_path, capsys):
    config, choices = search_config(run_config({"learning_rate": [1e-4, 1e-2]}), "grid")
    folder = tmp_path / "search"
    search(folder, config, choices)
    (found,) = runs_table(folder).to_pylist()
    (best,) = runs_table(folder / details(folder)["best"]["folder"]).to_pylist()
    for name in ("area", "mean_last_100", "env_steps"):
        assert found[name] == best[name]
    assert (found["env_steps"], found["extra_env_steps"]) == (256, 256)
    steps, _ = curves(folder, runs_table(folder))
    assert steps[-1] == 256
    assert main(["results", str(folder)]) == 0
    assert "grid on PPO-CartPole-v1 spends up to 256 env steps per run" in capsys.readouterr().out


def test_a_search_that_is_killed_and_started_again_ends_as_an_undisturbed_one(
    small_arguments, tmp_path, capsys
):
    arguments = [item for item in small_arguments if item not in ("--agent", "random")]
    space = 'search_space={"learning_rate": {"low": 1e-4, "high": 1e-2}}'
    arguments += ["--set", space, "--method", "random_search", "--trials", "3", "--checkpoint-minutes", "0"]
    folder, alone = tmp_path / "killed", tmp_path / "alone"
    process = subprocess.Popen(
        [sys.executable, "-m", "hyperrl_lab", "search", *arguments, "--out", str(folder)],
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
    )
    # In its second trial, whose number is 1.
    second = folder / "trials" / "0001"
    until = time.monotonic() + SECONDS
    while len(list(second.glob("checkpoints/step-*"))) < 2:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (second / "summary.json").exists()
    first = (folder / "trials" / "0000" / "model.zip").stat().st_mtime_ns
    for out in (folder, alone):
        assert main(["search", *arguments, "--out", str(out)]) == 0
    assert (folder / "trials" / "0000" / "model.zip").stat().st_mtime_ns == first
    assert details(folder) == details(alone)
    assert len(details(folder)["runs"]) == 3
    for name in ("actions.parquet", "episodes.parquet", "phases.parquet"):
        assert (folder / name).read_bytes() == (alone / name).read_bytes()


def test_a_trial_is_an_ordinary_run_with_its_values_in_force(run_config, tmp_path):
    config, choices = search_config(run_config(), "random_search", trials=1)
    search(tmp_path / "search", config, choices)
    trial = tmp_path / "search" / "trials" / "0000"
    values = details(tmp_path / "search")["runs"][0]["hyperparameters"]
    assert read_config(trial / "config.json")[0].agent_kwargs == {"action": values}
    actions = read_actions(trial)
    for name, value in values.items():
        assert actions[name] == pytest.approx([value] * len(actions[name]), rel=1e-6)
    assert (tmp_path / "search" / "policy.zip").read_bytes() == (trial / "policy.zip").read_bytes()


def test_a_run_without_a_score_is_a_failed_trial_with_its_cost(run_config, grid, tmp_path, monkeypatch):
    class Diverging(SyntheticRun):
        def train(self, **kwargs):
            summary = super().train(**kwargs) | {"status": "diverged"}
            (self.folder / "summary.json").write_text(json.dumps(summary))
            return summary

    monkeypatch.setattr(module, "TrainingRun", Diverging)
    config, choices = search_config(run_config(grid), "random_search", trials=3)
    summary = search(tmp_path / "search", config, choices)
    assert (summary["best"], summary["mean_return"], summary["env_steps"]) == (None, None, 300)


def test_nothing_is_pruned_unless_asked_for(run_config, tmp_path):
    space = {"learning_rate": {"low": 1e-5, "high": 1e-2}}
    for prune in (False, True):
        config, choices = search_config(run_config(space, 640), "random_search", trials=8, prune=prune)
        summary = search(tmp_path / str(prune), config, choices)
        runs = details(tmp_path / str(prune))["runs"]
        pruned = [run for run in runs if run["status"] == "pruned"]
        # Optuna's pruner compares with five trials that have finished.
        assert bool(pruned) == prune
        assert all(run["env_steps"] < 640 and run["score"] is None for run in pruned)
        assert summary["env_steps"] == sum(run["env_steps"] for run in runs)
        assert (summary["status"], summary["runs"]) == ("finished", 8)
        # A pruned trial never ends, so it cannot be experience.
        finished = [run["folder"] for run in runs if run["status"] == "finished"]
        assert len(build_experience([tmp_path / str(prune)]).runs) == len(finished)
    (tmp_path / "True" / "search.json").write_text('{"runs": 3}')
    with pytest.raises(ValueError, match=r"search\.json is damaged"):
        build_experience([tmp_path])


def test_the_study_can_be_read_by_optuna_alone(run_config, grid, tmp_path, synthetic):
    config, choices = search_config(run_config(grid), "grid")
    search(tmp_path / "search", config, choices)
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'search' / 'study.db'}")
    study = optuna.load_study(study_name=None, storage=storage)
    assert study.best_params == {"learning_rate": 1e-3, "clip_range": 0.3}
    assert {trial.user_attrs["env_steps"] for trial in study.trials} == {100}
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize("name", ["runs q/what?1", "lr{low}", "50%41", "a#b&c=d"])
def test_the_study_is_in_the_searchs_folder_whatever_its_name(run_config, grid, tmp_path, synthetic, name):
    config, choices = search_config(run_config(grid), "random_search", trials=1)
    folder = tmp_path / name
    search(folder, config, choices)
    assert (folder / "study.db").read_bytes().startswith(b"SQLite format 3")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(folder in path.parents for path in files)


def test_a_folder_of_something_else_is_left_alone(run_config, grid, tmp_path, synthetic):
    config, choices = search_config(run_config(grid), "grid")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        search(tmp_path / "mine", config, choices)
    search(tmp_path / "search", config, choices)
    other, choices = search_config(run_config(grid, 512), "grid")
    with pytest.raises(ValueError, match="total_env_steps is 256 there and 512 here"):
        search(tmp_path / "search", other, choices)
