import json
from dataclasses import replace

import numpy as np
import pytest

from hyperrl_lab.config import CONFIG_FILE, RunConfig, write_config
from hyperrl_lab.references import default_runs
from hyperrl_lab.results import EPISODES_FILE, EpisodeLog

RUN = RunConfig("HyperRL-PPO-v0", "epgt", 0, 5_000, {"env_id": "CartPole-v1"})
DEFAULT = replace(RUN, agent="fixed")


@pytest.fixture
def beside(tmp_path):
    """`beside(name, config, returns, status)`: the folder of a run, as far as a reference needs it."""

    def make(name, config=DEFAULT, returns=(1.0,), status="finished"):
        folder = tmp_path / name
        folder.mkdir()
        write_config(config, folder)
        log = EpisodeLog(1)
        log.record(100 * len(returns), returns, [10] * len(returns))
        log.write(folder / EPISODES_FILE)
        (folder / "summary.json").write_text(json.dumps({"status": status}))
        return folder

    return make


def test_finished_runs_of_the_tasks_own_settings_are_found_by_seed(beside):
    folder = beside("run", RUN)
    beside("b", replace(DEFAULT, seed=3), (3.0, 4.0))
    beside("a", replace(DEFAULT, seed=10, agent_kwargs={"action": "default"}), (10.0,))
    # What is offered to a hyper-agent that takes the task's own settings does not matter.
    beside("c", replace(DEFAULT, seed=1, env_kwargs={**RUN.env_kwargs, "search_space": ["gamma"]}))
    found = default_runs(folder)
    assert list(found) == [1, 3, 10]
    assert found[3]["return"].tolist() == [3, 4]
    assert found[3]["env_steps"].tolist() == [10, 20]


@pytest.mark.parametrize(
    "other",
    [
        replace(DEFAULT, id="HyperRL-A2C-v0"),
        replace(DEFAULT, total_env_steps=6_000),
        replace(DEFAULT, agent="random"),
        replace(DEFAULT, agent_kwargs={"action": "largest"}),
        replace(DEFAULT, agent_kwargs={"action": 4}),
        replace(DEFAULT, env_kwargs={"env_id": "Acrobot-v1"}),
        replace(DEFAULT, env_kwargs={**RUN.env_kwargs, "learner_kwargs": {"n_steps": 64}}),
    ],
)
def test_other_runs_are_no_reference(other, beside):
    folder = beside("run", RUN)
    beside("other", other)
    assert default_runs(folder) == {}


@pytest.mark.parametrize("status", ["interrupted", "diverged", "failed"])
def test_unfinished_runs_are_no_reference(status, beside):
    folder = beside("run", RUN)
    beside("other", status=status)
    assert default_runs(folder) == {}


def test_a_run_is_not_its_own_reference(beside, monkeypatch):
    folder = beside("run", DEFAULT)
    assert default_runs(folder) == {}
    monkeypatch.chdir(folder)
    assert default_runs(type(folder)(".")) == {}


def test_what_cannot_be_read_is_passed_over(beside, tmp_path):
    folder = beside("run", RUN)
    beside("good", replace(DEFAULT, seed=1))
    beside("cut", replace(DEFAULT, seed=2)).joinpath(EPISODES_FILE).write_bytes(b"PAR1 cut")
    beside("gone", replace(DEFAULT, seed=3)).joinpath(EPISODES_FILE).unlink()
    beside("no json", replace(DEFAULT, seed=4)).joinpath("summary.json").write_text("{")
    beside("a list", replace(DEFAULT, seed=5)).joinpath("summary.json").write_text("[]")
    beside("no run", replace(DEFAULT, seed=6)).joinpath(CONFIG_FILE).write_text("{}")
    beside("empty", replace(DEFAULT, seed=7), returns=())
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert list(default_runs(folder)) == [1]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert default_runs(tmp_path / "missing") == {}


def test_their_curves_are_in_the_picture(beside, tmp_path, monkeypatch):
    from hyperrl_lab import plots

    folder = beside("run", RUN)
    beside("other", replace(DEFAULT, seed=1), np.arange(30.0))
    drawn = []
    monkeypatch.setattr(plots, "learning_curve", lambda *arguments: drawn.append(arguments))
    monkeypatch.setattr(plots, "read_actions", lambda folder: None)
    monkeypatch.setattr(plots, "schedule", lambda *arguments: None)
    plots.draw_pictures(folder, "title")
    assert drawn[0][3][1]["return"].tolist() == list(range(30))
