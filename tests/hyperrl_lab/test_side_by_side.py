import json
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from matplotlib.image import imread

from hyperrl_lab import side_by_side as module
from hyperrl_lab.cli import main
from hyperrl_lab.config import RunConfig
from hyperrl_lab.figure import new_figure
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.side_by_side import MOST_RUNS, ShownRun, side_by_side
from hyperrl_lab.studies.record import RECORD_FILE


def episodes(returns):
    return {"env_steps": 10 * np.arange(1, len(returns) + 1), "return": np.array(returns, float)}


@pytest.fixture
def figures(monkeypatch):
    """The figures that were drawn, each as it was when it was saved."""
    drawn = []

    @contextmanager
    def remember(path, size):
        with new_figure(path, size) as figure:
            yield figure
            drawn.append(figure)

    monkeypatch.setattr(module, "new_figure", remember)
    return drawn


def test_a_column_per_run_and_a_row_per_hyperparameter(figures, synthetic_actions, tmp_path):
    runs = [
        ShownRun("one", episodes([1, 2, 3]), synthetic_actions(30, 60, ["learning_rate", "clip_range"])),
        ShownRun("two", episodes([7, 8, 9, 10]), synthetic_actions(30, 60, ["clip_range", "batch_size"])),
    ]
    side_by_side(runs, tmp_path / "a.png")
    panels = np.array(figures[0].axes[:8]).reshape(4, 2)
    assert [axes.get_title() for axes in panels[0]] == ["one", "two"]
    for axes, run in zip(panels[0], runs, strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), run.episodes["return"])
    # Returns stand on one scale.
    assert panels[0, 0].get_ylim() == panels[0, 1].get_ylim()
    titles = [[axes.get_title(loc="left").split(",")[0] for axes in row] for row in panels[1:]]
    assert titles == [["learning_rate"] * 2, ["clip_range"] * 2, ["batch_size", "batch_size (samples)"]]
    said = [[axes.texts[0].get_text() if axes.texts else "" for axes in row] for row in panels[1:]]
    assert said == [["", "not chosen"], ["", ""], ["not chosen", ""]]
    assert all(axes.collections for axes in panels[2])
    assert imread(tmp_path / "a.png").shape[1] > 1_000


def test_no_episode_and_no_choice(synthetic_actions, tmp_path):
    runs = [
        ShownRun("none", episodes([]), synthetic_actions(0, 1)),
        ShownRun("some", episodes([1]), {"phase": []}),
    ]
    side_by_side(runs, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """Folders of runs of different tasks and budgets."""
    folder = tmp_path_factory.mktemp("runs")
    learner = {"n_steps": 64, "batch_size": 32, "n_epochs": 1}
    for name, env_id, steps in (("a", "CartPole-v1", 192), ("b", "Pendulum-v1", 256)):
        kwargs = {"env_id": env_id, "learner_kwargs": learner}
        config = RunConfig("HyperRL-PPO-v0", "random", 0, steps, kwargs)
        TrainingRun(config, folder / name).train(pictures=False)
    return [str(folder / name) for name in "ab"]


def test_the_command_shows_the_runs_and_says_what_does_not_compare(two_runs, tmp_path, capsys):
    out = tmp_path / "a.png"
    assert main(["compare", *two_runs, "--out", str(out)]) == 0
    assert out.is_file()
    shown = capsys.readouterr()
    assert "PPO-CartPole-v1" in shown.out
    assert f"{out} shows them" in shown.out
    assert "of different tasks" in shown.err
    assert "of different budgets" in shown.err
    assert main(["compare", two_runs[0], two_runs[0], "--out", str(tmp_path / "b.png")]) == 0
    assert capsys.readouterr().err == ""


def test_names_that_look_like_markup_are_shown_as_they_are(two_runs, tmp_path, capsys):
    (tmp_path / "study").mkdir()
    record = {"title": "S", "baseline": None, "runs": []}
    for name, run in zip("ab", two_runs, strict=True):
        shutil.copytree(run, tmp_path / "study" / name)
        record["runs"].append({"folder": name, "task": "[x]", "method": f"{name}[/b]", "seed": 0})
    (tmp_path / "study" / RECORD_FILE).write_text(json.dumps(record))
    runs = [str(tmp_path / "study" / name) for name in "ab"]
    assert main(["compare", *runs, "--out", str(tmp_path / "a.png")]) == 0
    shown = capsys.readouterr().out
    assert [name for name in ("[x]", "a[/b]", "b[/b]") if name not in shown] == []


def test_bad_input_says_what_would_be_right(two_runs, tmp_path, capsys):
    out = tmp_path / "a.png"
    for arguments, message in (
        ([two_runs[0]], f"Give 2 to {MOST_RUNS} runs, not 1."),
        (two_runs * 4, "not 8."),
        ([two_runs[0], str(tmp_path)], "config.json"),
    ):
        assert main(["compare", *arguments, "--out", str(out)]) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()
    assert main(["compare", *two_runs, "--out", str(tmp_path / "a.txt")]) == 2
    assert "give --out a name that ends in .png" in capsys.readouterr().err
    out.write_text("mine")
    assert main(["compare", *two_runs, "--out", str(out)]) == 2
    assert "is not overwritten" in capsys.readouterr().err
    assert out.read_text() == "mine"
