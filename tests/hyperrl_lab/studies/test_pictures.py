import numpy as np
import pytest

from hyperrl_lab.config import RunConfig
from hyperrl_lab.studies.comparison import grouped
from hyperrl_lab.studies.pictures import curve, draw_curves
from hyperrl_lab.studies.statistics import estimate
from hyperrl_lab.studies.study import Method, Study, StudyTask
from hyperrl_lab.studies.table import runs_table

HOPPER = "HyperRL-PPO-Hopper-v0"
METHODS = [Method("random"), Method("fixed")]


def test_a_curve_is_the_statistic_of_the_running_means(leave_study, tmp_path):
    study = Study("title", [StudyTask(HOPPER, "A", 40)], METHODS, range(5))
    leave_study(tmp_path, study, lambda run: [run.config.seed**2, 0.0, 8.0, 4.0])
    runs = runs_table(tmp_path)
    steps, found = curve(tmp_path, runs, grouped(runs)[0], "mean")
    at_20 = np.flatnonzero(steps == 20)[0]
    assert steps[0] == 10
    assert steps[-1] == 40
    assert found.value[at_20] == np.mean([0, 0.5, 2, 4.5, 8])
    assert found.low[at_20] == pytest.approx(estimate([0, 0.5, 2, 4.5, 8], "mean").low)
    assert found.value[-1] == pytest.approx(np.mean([12, 13, 16, 21, 28]) / 4)


def test_a_run_that_diverged_keeps_its_last_score(leave_run, tmp_path):
    leave_run(tmp_path / "a", [1.0, 1.0, 1.0, 1.0])
    leave_run(tmp_path / "b", [3.0], RunConfig(HOPPER, "random", 1, 40), status="diverged")
    runs = runs_table(tmp_path)
    steps, found = curve(tmp_path, runs, grouped(runs)[0], "mean")
    assert (steps[0], steps[-1]) == (10, 40)
    assert set(found.value) == {2.0}


@pytest.mark.parametrize("n_tasks", [1, 4])
def test_a_picture_is_drawn_whatever_there_is(n_tasks, leave_study, tmp_path):
    tasks = [StudyTask(HOPPER, f"task {number}", 30) for number in range(n_tasks)]
    study = Study("title", tasks, METHODS, range(2))
    leave_study(tmp_path, study, lambda run: [] if run.task == "task 1" else [1.0, 2.0, 3.0])
    runs = runs_table(tmp_path)
    draw_curves(tmp_path, runs, grouped(runs), "title", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 10_000
