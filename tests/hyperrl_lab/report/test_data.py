import json
import shutil

import numpy as np
import pytest

from hyperrl_lab.config import CONFIG_FILE, RunConfig
from hyperrl_lab.report.data import gather
from hyperrl_lab.results import ACTIONS_FILE, EPISODES_FILE, read_actions, read_columns, read_episodes
from hyperrl_lab.studies.statistics import estimate, probability_of_improvement
from hyperrl_lab.studies.study import Method, Study, StudyTask

HOPPER, SWIMMER = "HyperRL-PPO-Hopper-v0", "HyperRL-PPO-Swimmer-v0"
WALKER = "HyperRL-PPO-Walker2d-v0"


def config(agent="random", seed=0, steps=100, id_=HOPPER):
    return RunConfig(id_, agent, seed, steps)


def notes(data):
    return {note["text"].split(".")[0].rstrip(":"): note["items"] for note in data["notes"]}


def group(data, method, task="PPO-Hopper"):
    (index,) = [n for n, g in enumerate(data["groups"]) if (g["method"], g["task"]) == (method, task)]
    return index, data["groups"][index]


@pytest.fixture
def two_methods(leave_study, tmp_path):
    """Five seeds of two methods on two tasks; a run's episodes all have the return seed + 10 * better."""
    study = Study(
        "S", [StudyTask(HOPPER), StudyTask(SWIMMER)], [Method("epgt"), Method("fixed")], range(5), 100
    )
    return leave_study(tmp_path, study, lambda run: [run.config.seed + 2.0 * (run.method == "epgt")] * 10)


def test_scores_and_comparisons_are_those_of_the_statistics(two_methods):
    data = gather(two_methods)
    found = group(data, "epgt")[1]["scores"][0]
    expected = estimate([2.0, 3, 4, 5, 6], "mean")
    assert (found["mean"], found["median"], found["seeds"], found["values"]) == (
        *(4, 4),
        *([0, 1, 2, 3, 4], [2, 3, 4, 5, 6]),
    )
    assert (found["low"], found["high"]) == (expected.low, expected.high)
    first = [row for row in data["comparisons"] if row["score"] == 0]
    assert [row["task"] for row in first] == [None, "PPO-Hopper", "PPO-Swimmer"]
    # Of 25 pairs 19 are won and 3 are drawn.
    improvement = probability_of_improvement([2.0, 3, 4, 5, 6], [0.0, 1, 2, 3, 4])
    for row in first:
        assert (row["a"], row["b"], row["n_a"], row["n_b"]) == ("epgt", "fixed", 5, 5)
        assert row["probability"] == pytest.approx(20.5 / 25)
    assert (first[1]["low"], first[1]["high"]) == (improvement.low, improvement.high)
    assert [row["difference"] for row in first] == [None, 2, 2]


def test_curves_are_means_over_seeds_with_the_interval_of_each_point(two_methods):
    data = gather(two_methods)
    index, _ = group(data, "epgt")
    curve, expected = data["curves"]["groups"][0][index], estimate([2.0, 3, 4, 5, 6], "mean")
    assert data["curves"]["steps"][0] == list(range(1, 101))
    # Before the first episode's end there is nothing to show.
    assert curve["mean"] == [None] * 9 + [4] * 91
    assert (curve["lowest"][-1], curve["highest"][-1]) == (2, 6)
    assert (curve["low"][-1], curve["high"][-1]) == pytest.approx((expected.low, expected.high))
    assert curve["low"][:9] == [None] * 9
    assert data["curves"]["runs"][0][0] == [None] * 9 + [2] * 91


def test_few_seeds_have_no_interval(leave_run, tmp_path):
    for seed in range(4):
        leave_run(tmp_path / str(seed), [float(seed)] * 10, config(seed=seed))
    data = gather(tmp_path)
    assert data["groups"][0]["scores"][0]["low"] is None
    assert "low" not in data["curves"]["groups"][0][0]


def test_runs_that_have_not_ended_are_named_and_count_nowhere(leave_run, tmp_path):
    leave_run(tmp_path / "a", [1.0] * 10, config())
    leave_run(tmp_path / "b", [9.0] * 5, config(seed=1), status=None)
    data = gather(tmp_path)
    assert data["groups"][0]["scores"][0]["values"] == [1]
    assert set(data["curves"]["groups"][0][0]["mean"]) == {None, 1}
    # Its own curve ends where it does.
    assert data["curves"]["runs"][0][1][9:] == [9] * 41 + [None] * 50
    (items,) = notes(data).values()
    assert items == ["b: interrupted."]


def test_the_curve_of_a_diverged_run_goes_on_in_the_mean(leave_run, tmp_path):
    leave_run(tmp_path / "a", [1.0] * 10, config())
    leave_run(tmp_path / "b", [3.0] * 5, config(seed=1), status="diverged")
    data = gather(tmp_path)
    assert data["curves"]["groups"][0][0]["mean"][-1] == 2
    assert data["groups"][0]["diverged"] == 1


def test_runs_of_different_budgets_are_not_compared(leave_run, tmp_path):
    leave_run(tmp_path / "a", [1.0] * 10, config("epgt"))
    leave_run(tmp_path / "b", [2.0] * 20, config("random", steps=200))
    data = gather(tmp_path)
    assert data["comparisons"] == []
    assert notes(data) == {
        "Runs of different budgets, which are not compared with each other": [
            "PPO-Hopper: 100 env steps (epgt: 1 run); 200 env steps (random: 1 run)"
        ]
    }


def test_a_task_of_two_budgets_is_none_of_all_tasks_together(leave_run, tmp_path):
    for agent in ("epgt", "random"):
        for id_, steps in ((HOPPER, 100), (HOPPER, 200), (SWIMMER, 100), (WALKER, 100)):
            leave_run(tmp_path / f"{agent}{id_}{steps}", [1.0] * 10, config(agent, steps=steps, id_=id_))
    rows = [row for row in gather(tmp_path)["comparisons"] if row["score"] == 0]
    assert [(row["task"], row["budget"]) for row in rows[1:]] == [
        ("PPO-Hopper", 100),
        ("PPO-Hopper", 200),
        ("PPO-Swimmer", 100),
        ("PPO-Walker2d", 100),
    ]
    assert rows[0]["task"] is None
    shutil.rmtree(tmp_path / f"random{WALKER}100")
    # Hopper with two budgets is not two tasks, and beside it only one is left.
    assert None not in [row["task"] for row in gather(tmp_path)["comparisons"]]


def test_tasks_of_one_name_but_of_two_environments_are_two(leave_study, tmp_path):
    for id_ in (HOPPER, SWIMMER):
        study = Study("S", [StudyTask(id_, "task")], [Method("epgt"), Method("fixed")], range(5), 100)
        leave_study(tmp_path / id_, study, lambda run: [1.0] * 10)
    data = gather(tmp_path)
    assert data["tasks"] == [f"task ({HOPPER})", f"task ({SWIMMER})"]
    assert [group["runs"] for group in data["groups"]] == [5] * 4
    compared = {row["task"] for row in data["comparisons"]}
    assert compared == {None, *data["tasks"]}
    assert data["notes"] == []


def test_mixed_versions_and_repeated_runs_are_named(leave_run, tmp_path):
    for name in "abc":
        leave_run(tmp_path / name, [1.0] * 10, config(seed=int(name == "c")))
    path = tmp_path / "b" / CONFIG_FILE
    content = json.loads(path.read_text())
    content["versions"]["numpy"] = "0.1"
    path.write_text(json.dumps(content))
    data = gather(tmp_path)
    found = notes(data)
    (versions,) = found["Runs made with different versions"]
    assert versions.startswith("numpy 0.1: 1 run, ")
    assert found["Runs of the same task, method, budget and seed"] == ["PPO-Hopper, random, seed 0: a, b"]
    assert [entry["runs"] for entry in data["versions"]] == [2, 1]


@pytest.mark.parametrize("file", [CONFIG_FILE, EPISODES_FILE, ACTIONS_FILE, "summary.json", "memory.parquet"])
def test_a_damaged_file_is_named_and_the_rest_goes_on(file, tiny_study, tiny_data, tmp_path):
    names = [f"<i>run 0-epgt-{seed}" for seed in (0, 1)]
    for name in names:
        (tmp_path / name).mkdir()
        for path in (tiny_study / name).iterdir():
            if path.is_file():
                (tmp_path / name / path.name).write_bytes(path.read_bytes())
    damaged = tmp_path / names[0] / file
    damaged.write_bytes(damaged.read_bytes()[:100])
    data = gather(tmp_path)
    assert len(data["runs"]) == 2
    assert data["runs"][1]["scores"] == tiny_data["runs"][1]["scores"]
    assert 1 in [schedule["run"] for schedule in data["schedules"]]
    assert 1 in [map_["run"] for map_ in data["maps"]]
    if file in (CONFIG_FILE, EPISODES_FILE, "summary.json"):
        (item,) = notes(data)["Runs that have not ended, or that are damaged"]
        assert item.startswith(f"{names[0]}: damaged.")
        assert file in item


def test_runs_that_have_not_begun_are_named(leave_study, tmp_path):
    study = Study("S", [StudyTask(HOPPER)], [Method("fixed")], range(2), 100)
    leave_study(tmp_path, study, lambda run: [1.0] * 10)
    (tmp_path / "PPO-Hopper-fixed-1").rename(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    assert notes(gather(tmp_path)) == {"Runs of the study that have not begun": ["PPO-Hopper-fixed-1"]}


def test_schedules_are_what_was_in_force(tiny_study, tiny_data):
    for schedule in tiny_data["schedules"]:
        folder = tiny_study / tiny_data["runs"][schedule["run"]]["folder"]
        actions = read_actions(folder)
        for parameter in schedule["parameters"]:
            values = actions[parameter["name"]]
            shares = np.array(parameter["shares"], np.float64)
            np.testing.assert_allclose(shares.sum(axis=0), 1, atol=0.01)
            assert len(parameter["values"]["mean"]) == len(schedule["edges"]) - 1
            assert min(parameter["values"]["low"]) == pytest.approx(values[values > 0].min(), rel=1e-4)
            assert max(parameter["values"]["high"]) == pytest.approx(values.max(), rel=1e-4)
    assert len(tiny_data["schedules"]) == len(tiny_data["runs"])


def test_maps_show_entries_of_the_memory_and_what_their_actions_set(tiny_study, tiny_data):
    assert tiny_data["maps"]
    for map_ in tiny_data["maps"]:
        folder = tiny_study / tiny_data["runs"][map_["run"]]["folder"]
        entries, actions = read_columns(folder / "memory.parquet"), read_actions(folder)
        assert map_["total"] == len(entries["value"]) == len(map_["x"])
        np.testing.assert_allclose(map_["value"], entries["value"], rtol=1e-3)
        for parameter in map_["parameters"]:
            for action, level in zip(map_["action"], parameter["values"], strict=True):
                row = np.flatnonzero(actions["action"] == action)[0]
                value = actions[parameter["name"]][row]
                own = actions[f"default.{parameter['name']}"][row]
                assert level == pytest.approx(value / own if parameter["relative"] else value, rel=1e-4)


def test_a_map_is_the_same_every_time(tiny_study, tiny_data):
    assert gather(tiny_study)["maps"] == tiny_data["maps"]


def test_a_single_run_is_enough(tiny_study):
    folder = tiny_study / "<i>run 0-random-0"
    data = gather(folder)
    assert [run["folder"] for run in data["runs"]] == ["."]
    assert data["comparisons"] == []
    assert data["groups"][0]["scores"][0]["mean"] == pytest.approx(
        read_episodes(folder)["return"][-100:].mean()
    )
