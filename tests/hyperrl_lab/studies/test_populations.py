"""A study of a paper with populations, from the command to the page, on a small Ray that is started here."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from hyperrl_lab import paper as paper_module
from hyperrl_lab import reproduction
from hyperrl_lab.cli import main
from hyperrl_lab.commands import reproduce
from hyperrl_lab.studies import populations, published
from hyperrl_lab.studies.published import PublishedStudy
from hyperrl_lab.studies.study import Method, Study, StudyTask

# Of the optimiser in Ray's PB2.
pytestmark = pytest.mark.filterwarnings("ignore:.*`disp` and `iprint` options:DeprecationWarning")

SPACE = {"learning_rate": {"low": 1e-4, "high": 1e-2}, "clip_range": {"low": 0.1, "high": 0.4}}
CARTPOLE = {"env_id": "CartPole-v1", "n_steps": 64, "batch_size": 32, "n_epochs": 1, "search_space": SPACE}


@pytest.fixture
def paper(monkeypatch):
    """A study of one task by a fixed agent, PBT and PB2, under the name of Table 2; populations of two."""
    study = Study(
        title="A small table",
        tasks=[StudyTask("HyperRL-PPO-v0", "cart", 2560, CARTPOLE)],
        methods=[Method("fixed", "default")],
        seeds=[0],
        evaluate_episodes=1,
        baseline="default",
    )
    others = [Method("pbt", "PBT"), Method("pb2", "PB2")]
    paper = PublishedStudy(study, "Table 0", "best_100", "median", "A claim.", others=others)
    monkeypatch.setattr(published, "POPULATION", 2)
    for module in (published, reproduction):
        monkeypatch.setattr(module, "PERTURB_EVERY", 1280)
    monkeypatch.setattr(reproduce, "STUDIES", {**paper_module.STUDIES, "table2": paper})
    return paper


@pytest.fixture
def singles(leave_study, monkeypatch):
    """The study's single runs are there without training."""

    def carry_out(study, folder, arguments, console):
        if not folder.exists():
            leave_study(folder, study, lambda run: [20.0] * (run.config.total_env_steps // 10))
        return 0

    monkeypatch.setattr(reproduce, "carry_out", carry_out)


def row(folder, method):
    page = (folder / "table2.md").read_text()
    (line,) = (line for line in page.splitlines() if line.startswith(f"| cart | {method} |"))
    return line.strip("| ").split(" | ")


def command(folder, *options):
    return main(["reproduce", "table2", "--scale", "0.1", "--workers", "2", "--out", str(folder), *options])


def test_populations_are_trained_beside_the_single_runs(paper, singles, monkeypatch, tmp_path, capfd):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    folder = tmp_path / "study"
    monkeypatch.setattr(reproduce, "STUDIES", {"table2": replace(paper, others=[Method("pbt", "PBT")])})
    path = folder / "cart-PBT-0"
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert command(folder) == 0
        summary = json.loads((path / "summary.json").read_text())
        # Each of two members has the budget, of four environment phases, and is perturbed once.
        assert (summary["status"], summary["env_steps"]) == ("finished", 2 * 256)
        runs = json.loads((path / "search.json").read_text())["runs"]
        assert [len(run["intervals"]) for run in runs] == [2, 2]
        assert row(folder, "PBT")[2:4] == ["2 x 256", "1"]
        float(row(folder, "PBT")[4])
        assert json.loads((path / "evaluation.json").read_text())["episodes"] == 1
        page = (folder / "table2.md").read_text()
        assert "perturbed every 128 env steps (in the paper 1,280, shrunk with the budget)." in page
        assert "have not begun" not in page

        # One that is finished is left alone, and so is one that was cut, which is named.
        for code, told in ((0, "cart-PBT-0: finished"), (1, f"{path} holds a population that was cut")):
            before = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file()}
            capfd.readouterr()
            assert command(folder) == code
            assert told in "".join(capfd.readouterr())
            assert {file: file.stat().st_mtime_ns for file in before} == before
            (path / "summary.json").unlink(missing_ok=True)

        # Trained again, it is what it was.
        shutil.move(path, tmp_path / "cut")
        assert command(folder) == 0
        assert (path / "search.json").read_bytes() == (tmp_path / "cut" / "search.json").read_bytes()
    finally:
        ray.shutdown()


def test_one_population_that_fails_stops_no_other(paper, singles, monkeypatch, tmp_path, capsys):
    begun = []

    def search(config, folder, choices, **kwargs):
        begun.append(folder.name)
        if config.agent == "pbt":
            raise RuntimeError("A member of the population failed: its simulator broke")
        return {"status": "interrupted"}

    monkeypatch.setattr(populations, "run_search", search)
    monkeypatch.setattr(populations, "search_config", lambda config, method, **kwargs: (config, {}))
    monkeypatch.setattr(reproduce, "populations_exist", lambda: True)
    assert command(tmp_path / "study") == 130
    assert begun == ["cart-PBT-0", "cart-PB2-0"]
    told = capsys.readouterr().err
    assert "error: cart-PBT-0: A member of the population failed: its simulator broke" in told
    assert "cart-PB2-0 was interrupted. To train it again, move its folder elsewhere first." in told


def test_without_the_extra_the_row_says_so_and_the_rest_goes_on(paper, singles, monkeypatch, tmp_path):
    def lacking(package, extra, what):
        raise ValueError(f"{what} needs {package}")

    monkeypatch.setattr(populations, "check_extra", lacking)
    assert command(tmp_path / "study") == 0
    assert row(tmp_path / "study", "default")[3:5] == ["1", "20.0"]
    for method in ("PBT", "PB2"):
        assert row(tmp_path / "study", method)[2:5] == [
            "2 x 256",
            "0",
            "not available: needs the extra `ray`",
        ]
