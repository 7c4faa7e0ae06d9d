"""A league: the ranking, against rliable and numbers by hand, and the page that a sweep writes."""

import json
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rliable import library

from hyperrl_env.numeric.random_state import RandomState
from hyperrl_lab.cli import main
from hyperrl_lab.figure import new_figure
from hyperrl_lab.studies.league import draw, league, markdown
from hyperrl_lab.studies.reference_scores import REFERENCE_SCORES
from hyperrl_lab.studies.study import Method, Study, StudyTask

METHODS = [
    Method("fixed", "default"),
    Method("random", "RND"),
    Method("epgt", "EPGT"),
    Method("fixed", "faster", {"action": {"learning_rate": "2x"}}),
    Method("fixed", "slower", {"action": {"learning_rate": "0.5x"}}),
]
TASKS = ("Hopper", "Walker2d")
# EPGT beats everything, "slower" nothing; RND's runs are above and below those of "default".
LEVELS = {"EPGT": 2000.0, "faster": 900.0, "default": 1000.0, "RND": 1000.0, "slower": 500.0}


def score(run):
    spread = 100.0 if run.method == "RND" else 1.0
    return LEVELS[run.method] + spread * (run.config.seed - 2)


@pytest.fixture
def study():
    tasks = [StudyTask(f"HyperRL-PPO-{task}-v0", task) for task in TASKS]
    return Study("Five methods", tasks, METHODS, [0, 1, 2, 3, 4], total_env_steps=30, baseline="default")


@pytest.fixture
def folder(study, leave_study, tmp_path):
    return leave_study(tmp_path / "five", study, lambda run: [score(run)] * 3)


def test_the_best_comes_first_and_is_compared_with_what_it_has_to_beat(folder, study):
    found = league(folder, study)
    ranked = [one.method for one in found.standings]
    assert (ranked[:1], set(ranked[1:3]), ranked[3:]) == (["EPGT"], {"RND", "default"}, ["faster", "slower"])
    assert found.references == ["default", "RND", "faster"]
    # The baseline is better, but it is no value of the grid.
    assert found.best_fixed == "faster"
    by_name = {one.method: one for one in found.standings}
    assert set(by_name["EPGT"].against) == {"default", "RND", "faster"}
    assert set(by_name["faster"].against) == {"default", "RND"}
    assert by_name["EPGT"].against["faster"].value == 1.0
    assert by_name["slower"].against["default"].value == 0.0
    # Of the five seeds two are above all of the baseline's, two below, and the middle one wins as many.
    assert by_name["RND"].against["default"].value == 0.5
    # Without the lowest and the highest of 998 ... 1002.
    assert by_name["default"].tasks["Hopper"].value == 1000.0
    assert by_name["default"].env_steps == 30
    assert by_name["default"].seconds == 2.0


def test_runs_that_diverged_are_counted(folder, study):
    summary = folder / "Hopper-EPGT-0" / "summary.json"
    summary.write_text(summary.read_text().replace('"finished"', '"diverged"'))
    assert "1 of the 10 runs of EPGT diverged before the end of their budget" in league(folder, study).notes


def test_only_runs_that_have_ended_have_a_duration(folder, study):
    changes = {0: ("diverged", 4.0), 1: ("interrupted", 60.0), 2: ("failed", 90.0)}
    for task in TASKS:
        for seed, (status, seconds) in changes.items():
            summary = folder / f"{task}-EPGT-{seed}" / "summary.json"
            content = json.loads(summary.read_text()) | {"status": status, "seconds": seconds}
            summary.write_text(json.dumps(content))
        for seed in (3, 4):
            shutil.rmtree(folder / f"{task}-EPGT-{seed}")
    (epgt,) = (one for one in league(folder, study).standings if one.method == "EPGT")
    assert epgt.seconds == 4.0


def test_scores_are_those_of_rliable(folder, study):
    (found,) = (one for one in league(folder, study).standings if one.method == "RND")
    scores = np.stack(
        [REFERENCE_SCORES[task].normalised([800.0, 900.0, 1000.0, 1100.0, 1200.0]) for task in TASKS], axis=1
    )
    with RandomState(0).swapped_in():
        point, interval = library.get_interval_estimates(
            {"": scores}, lambda x: np.array([np.sort(x.ravel())[2:-2].mean()]), reps=2000
        )
    assert found.score.value == pytest.approx(point[""][0])
    assert (found.score.low, found.score.high) == pytest.approx(tuple(interval[""][:, 0]))


def test_a_sweep_ranks_its_methods_in_a_page(folder, study, as_toml, tmp_path, capsys):
    page = tmp_path / "results.md"
    page.write_text("# Results\n\n<!-- five: begin -->\n<!-- five: end -->\n\nThe end.\n")
    file = as_toml(study, tmp_path / "five.toml")
    assert main(["sweep", str(file), "--out", str(folder), "--page", str(page)]) == 0
    written = page.read_text()
    assert written.startswith("# Results\n\n<!-- five: begin -->\n## Five methods\n")
    assert written.endswith("<!-- five: end -->\n\nThe end.\n")
    rows = [line for line in written.splitlines() if line.startswith("| EPGT | 5 | ")]
    assert rows
    assert "100 % [100 % to 100 %]" in rows[0]
    assert (
        "Against **default**. Better: EPGT. Worse: faster; slower. Not told apart, because the interval "
        "holds 50 %: RND." in written
    )
    assert (
        "Against **faster** (the best of the fixed values on these very runs, which favours it)." in written
    )
    assert (tmp_path / "results" / "five.png").stat().st_size > 10_000
    assert "](results/five.png)" in written


def test_the_pages_command_has_the_folder_that_was_given(folder, study, as_toml, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    as_toml(replace(study, seeds=[0]), tmp_path / "five.toml")
    page = tmp_path / "page.md"
    page.write_text("<!-- five: begin -->\n<!-- five: end -->\n")
    # A path of this machine says nothing to others.
    for out, shown in (("five", "five"), (str(folder), "runs/five")):
        assert main(["sweep", "five.toml", "--out", out, "--page", "page.md"]) == 0
        assert f"\nhyperrl sweep five.toml --out {shown} --page page.md\n" in page.read_text()


def test_a_page_that_cannot_be_written_is_told_before_the_runs(folder, study, as_toml, tmp_path, capsys):
    page = tmp_path / "results.md"
    page.write_text("# Results\n")
    file = as_toml(study, tmp_path / "five.toml")
    new = tmp_path / "new"
    assert main(["sweep", str(file), "--out", str(new), "--page", str(page)]) == 2
    assert "must have the marks <!-- five: begin -->" in capsys.readouterr().err
    assert not new.exists()
    page.write_text("<!-- one: begin -->\n<!-- one: end -->\n")
    one = as_toml(replace(study, tasks=study.tasks[:1]), tmp_path / "one.toml")
    assert main(["sweep", str(one), "--out", str(new), "--page", str(page)]) == 2
    assert "the study needs at least two" in capsys.readouterr().err
    assert not new.exists()
    page.write_text("<!-- own: begin -->\n<!-- own: end -->\n")
    acrobot = StudyTask("HyperRL-PPO-v0", "Acrobot", settings={"env_id": "Acrobot-v1"})
    own = as_toml(replace(study, tasks=[study.tasks[0], acrobot]), tmp_path / "own.toml")
    assert main(["sweep", str(own), "--out", str(new), "--page", str(page)]) == 2
    assert "the study needs at least two. Acrobot has none." in capsys.readouterr().err
    assert not new.exists()
    options = ["--id", "HyperRL-PPO-CartPole-v0", "--out", str(new), "--page", str(page)]
    assert main(["sweep", *options]) == 2
    assert "give a study's file" in capsys.readouterr().err


def test_only_the_studys_own_runs_are_ranked(folder, study, as_toml, tmp_path, capsys):
    # Two methods less, two seeds more, and "default" with other settings than in the folder.
    methods = [replace(METHODS[0], settings={"n_steps": 64}), *METHODS[1:3]]
    now = replace(study, methods=methods, seeds=[0, 1, 2, 3, 4, 5, 6])
    found = league(folder, now)
    assert {one.method for one in found.standings} == {"EPGT", "RND"}
    assert {one.score.seeds for one in found.standings} == {5}
    # Of 3 methods x 2 tasks: two seeds each, and five of "default".
    assert "12 of the study's 42 runs are missing" in found.notes
    assert (
        "10 of the study's 42 runs are not ranked: their folders hold other runs than the study says now"
        in found.notes
    )
    page = tmp_path / "page.md"
    page.write_text("<!-- five: begin -->\n<!-- five: end -->\n")
    file = as_toml(replace(now, seeds=study.seeds), tmp_path / "five.toml")
    assert main(["sweep", str(file), "--out", str(folder), "--page", str(page)]) == 1
    written = page.read_text()
    assert "10 of the study's 30 runs are not ranked" in written
    assert not any(f"| {method} |" in written for method in ("default", "faster", "slower"))


def test_a_baseline_is_compared_with_only_once(folder, study):
    found = league(folder, replace(study, methods=METHODS[:3], baseline="RND"))
    assert found.references == ["RND", "default"]
    again = league(folder, replace(study, methods=METHODS[:3]))
    assert again.references == ["default", "RND"]


def test_without_intervals_nothing_is_said_of_what_they_hold(folder, study):
    few = markdown(league(folder, replace(study, seeds=[0, 1, 2])), "command", "picture.png")
    assert "Against **default**. Too few seeds for an interval, which takes 5: EPGT; " in few
    assert "Better:" not in few
    assert "Not told apart" not in few
    for seed in (0, 1):
        shutil.rmtree(folder / f"Hopper-EPGT-{seed}")
    mixed = markdown(league(folder, study), "command", "picture.png")
    assert (
        "Against **default**. Better: none. Worse: faster; slower. Not told apart, because the interval "
        "holds 50 %: RND. Too few seeds for an interval, which takes 5: EPGT.\n" in mixed
    )


def test_the_picture_has_no_axis_of_a_comparison_with_nothing(folder, study, tmp_path, monkeypatch):
    axes = []

    @contextmanager
    def looked_at(path, size):
        with new_figure(path, size) as figure:
            yield figure
            axes.append([one.get_xlabel() for one in figure.axes])

    monkeypatch.setattr("hyperrl_lab.studies.league.new_figure", looked_at)
    # Of the baseline there are no runs, and EPGT is neither a random nor a fixed choice.
    alone = replace(study, methods=[Method("fixed", "later"), METHODS[2]], baseline="later")
    draw(league(folder, alone), tmp_path / "alone.png")
    draw(league(folder, study), tmp_path / "all.png")
    scores = "normalised score\n(interquartile mean)"
    assert axes == [[scores], [scores, "probability to be better\nthan default"]]


def test_every_page_says_how_often_an_interval_is_wrong(folder, study):
    few = replace(study, seeds=[0])
    sections = [markdown(league(folder, few), "command", "picture.png")]
    for name in ("results.md", "experience.md"):
        page = (Path(__file__).parents[3] / "docs" / name).read_text()
        sections += [part for part in page.split("<!-- ") if "*Seconds*: the median duration" in part]
    assert len(sections) > 4
    for section in sections:
        assert "between equal methods 6 to 10 % of them are wrong (simulated with normal scores)." in section


def test_a_study_that_is_carried_out_in_parts_is_ranked_as_one(folder, study, leave_study):
    part = replace(study, methods=[Method("adaptive_kl", "KL")], baseline=None)
    leave_study(folder, part, lambda run: [3000.0])
    whole = replace(study, methods=[*METHODS, *part.methods])
    assert [one.method for one in league(folder, whole).standings][:2] == ["KL", "EPGT"]
    assert len(league(folder, whole).standings) == 6


def test_what_cannot_be_ranked(leave_study, study, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="There is no run in"):
        league(tmp_path / "empty", study)
    alone = Study("One", study.tasks[:1], METHODS, range(5))
    one = leave_study(tmp_path / "one", alone, lambda run: [score(run)])
    with pytest.raises(ValueError, match=r"no two tasks to rank methods over\.$"):
        league(one, alone)
    with pytest.raises(ValueError, match="25 of the study's 50 runs are missing"):
        league(one, replace(study, total_env_steps=None))
