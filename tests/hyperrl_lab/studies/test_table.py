import json
import os
import re
import socket

import numpy as np
import pytest

from hyperrl_lab.cli import main
from hyperrl_lab.config import RunConfig
from hyperrl_lab.lock import HOLDER_FILE
from hyperrl_lab.studies.study import Method, Study, StudyTask
from hyperrl_lab.studies.table import SCHEMA, runs_table

HOPPER, WALKER = "HyperRL-PPO-Hopper-v0", "HyperRL-PPO-Walker2d-v0"


def rows(folder):
    return runs_table(folder).to_pylist()


def test_a_row_holds_the_means_that_can_be_worked_out_by_hand(leave_run, tmp_path):
    returns = [*reversed(range(200)), *range(50)]
    config = RunConfig(HOPPER, "random", 7, 5_000, {"order": 1}, {"hold": 2})
    folder = leave_run(tmp_path / "a", returns, config, extra=5)
    evaluation = {"mean_return": 5.5, "std_return": 0.5, "episodes": 20}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    (row,) = rows(tmp_path)
    # The curve starts at the first episode's end; each score holds for 10 steps, the last for none.
    scores = [np.mean(returns[max(0, end - 100) : end]) for end in range(1, 250)]
    assert row.pop("area") == pytest.approx(np.mean(scores))
    assert json.loads(row.pop("settings")) == {"env_kwargs": {"order": 1}, "agent_kwargs": {"hold": 2}}
    assert row.pop("version")
    assert row == {
        "folder": "a",
        "task": "PPO-Hopper",
        "id": HOPPER,
        "agent": "random",
        "method": "random",
        "seed": 7,
        "budget": 5_000,
        "status": "finished",
        "problem": "",
        "env_steps": 2_500,
        "extra_env_steps": 5,
        "episodes": 250,
        "mean_last_10": 44.5,
        "mean_last_100": 24.5,
        "best_100": 149.5,
        "evaluation_mean": 5.5,
        "evaluation_std": 0.5,
        "evaluation_episodes": 20,
        "diverged_steps": 1,
        "seconds": 2.0,
        "steps_per_second": 1_250.0,
    }


def test_the_score_is_the_one_that_the_run_reported(small_arguments, tmp_path):
    assert main(["train", *small_arguments, "--out", str(tmp_path / "run")]) == 0
    (row,) = rows(tmp_path)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert row["mean_last_100"] == summary["mean_return"]
    assert (row["task"], row["env_steps"]) == ("PPO-CartPole-v1", summary["env_steps"])
    assert rows(tmp_path / "run") == [{**row, "folder": "."}]


def test_few_episodes_give_means_of_all_and_none_gives_nothing(leave_run, tmp_path):
    leave_run(tmp_path / "few", [1.0, 3.0])
    leave_run(tmp_path / "none", [], RunConfig(HOPPER, "random", 1, 10))
    few, none = rows(tmp_path)
    assert (few["mean_last_10"], few["mean_last_100"], few["best_100"]) == (2, 2, 2)
    assert none["episodes"] == 0
    assert none["mean_last_10"] is none["mean_last_100"] is none["best_100"] is none["area"] is None


def test_every_state_of_a_run_is_told_and_the_others_go_on(leave_run, tmp_path):
    leave_run(tmp_path / "finished", [1.0])
    leave_run(tmp_path / "diverged", [1.0], status="diverged")
    leave_run(tmp_path / "failed", [1.0], status="failed")
    leave_run(tmp_path / "killed", [1.0, 2.0], status=None)
    running = leave_run(tmp_path / "running", [1.0], status="interrupted")
    (running / HOLDER_FILE).write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    gone = leave_run(tmp_path / "gone", [1.0], status="interrupted")
    (gone / HOLDER_FILE).write_text(json.dumps({"pid": 2**22 + 1, "host": socket.gethostname()}))
    (leave_run(tmp_path / "cut", [1.0]) / "episodes.parquet").write_bytes(b"PAR1")
    (leave_run(tmp_path / "torn", [1.0]) / "summary.json").write_text('{"status": "fin')
    for name, text in (("foreign", '{"model": 1}'), ("empty", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    begun = leave_run(tmp_path / "begun", [1.0], status=None)
    (begun / "episodes.parquet").unlink()
    leave_run(begun / "checkpoints" / "copy", [1.0])
    (tmp_path / "notes").mkdir()
    found = {row["folder"]: row for row in rows(tmp_path)}
    assert {name: row["status"] for name, row in found.items()} == {
        "begun": "interrupted",
        "cut": "damaged",
        "diverged": "diverged",
        "empty": "damaged",
        "failed": "failed",
        "finished": "finished",
        "foreign": "damaged",
        "gone": "interrupted",
        "killed": "interrupted",
        "running": "running",
        "torn": "damaged",
    }
    problems = {name: row["problem"] for name, row in found.items() if row["problem"]}
    assert set(problems) == {"cut", "torn", "foreign", "empty"}
    assert "episodes.parquet is damaged" in problems["cut"]
    assert "summary.json is damaged" in problems["torn"]
    assert "not the configuration of a run" in problems["foreign"]
    assert found["killed"]["env_steps"] == 20
    assert found["killed"]["mean_last_100"] == 1.5


def test_a_study_names_and_orders_its_runs(leave_run, leave_study, tmp_path):
    study = Study(
        "title", [StudyTask(HOPPER, "Zebra")], [Method("random", "Z"), Method("fixed", "A")], [1, 0]
    )
    leave_study(tmp_path / "study", study, lambda run: [1.0])
    leave_run(tmp_path / "study" / "added", [1.0])
    leave_run(tmp_path / "another" / "deep" / "down", [1.0])
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "study.json").write_text("[]")
    leave_run(tmp_path / "damaged" / "run", [1.0])
    found = rows(tmp_path)
    assert [(row["folder"], row["task"], row["method"], row["seed"]) for row in found] == [
        ("another/deep/down", "PPO-Hopper", "random", 0),
        ("damaged/run", "PPO-Hopper", "random", 0),
        ("study/Zebra-Z-1", "Zebra", "Z", 1),
        ("study/Zebra-A-1", "Zebra", "A", 1),
        ("study/Zebra-Z-0", "Zebra", "Z", 0),
        ("study/Zebra-A-0", "Zebra", "A", 0),
        ("study/added", "PPO-Hopper", "random", 0),
    ]
    assert [row["problem"] != "" for row in found] == [False, True, *[False] * 5]
    assert "is not the record of a study" in found[1]["problem"]
    (alone,) = rows(tmp_path / "study" / "Zebra-A-0")
    assert (alone["task"], alone["method"]) == ("Zebra", "A")


def test_methods_that_would_share_a_name_are_told_apart_by_their_settings(leave_run, tmp_path):
    settings = [({}, {}), ({"order": 0}, {}), ({"order": 0}, {"action": "largest"})]
    for number, (env, agent) in enumerate(settings):
        leave_run(tmp_path / f"{number}", [1.0], RunConfig(HOPPER, "fixed", 0, 10, env, agent))
    leave_run(tmp_path / "3", [1.0], RunConfig(HOPPER, "random", 0, 10, {"order": 0}))
    leave_run(tmp_path / "4", [1.0], RunConfig("HyperRL-PPO-v0", "fixed", 0, 10, {"env_id": "CartPole-v1"}))
    assert [(row["task"], row["method"]) for row in rows(tmp_path)] == [
        ("PPO-Hopper", "fixed"),
        ("PPO-Hopper", "fixed (order=0)"),
        ("PPO-Hopper", 'fixed (agent.action="largest", order=0)'),
        ("PPO-Hopper", "random"),
        ("PPO-CartPole-v1", "fixed"),
    ]


def test_methods_of_one_name_are_told_apart_by_their_settings_on_each_task(leave_study, tmp_path):
    own = [StudyTask(HOPPER, "Hopper"), StudyTask(WALKER, "Walker", settings={"gamma": 0.9})]
    others = {
        "a": Study("a", own, [Method("fixed", "M"), Method("random")], [0], 10, {"n_steps": 128}),
        "b": Study("b", own, [Method("fixed", "M"), Method("random")], [1], 10, {"n_steps": 2048}),
        "c": Study("c", own[:1], [Method("random", "M")], [2], 10, {"n_steps": 128}),
    }
    for name, study in others.items():
        leave_study(tmp_path / name, study, lambda run: [1.0])
    # gamma differs between the tasks, and the seed between the runs.
    names = [f'M (agent="fixed", learner.n_steps={n_steps})' for n_steps in (128, 2048)]
    assert [(row["task"], row["method"]) for row in rows(tmp_path)] == [
        ("Hopper", names[0]),
        ("Hopper", "random (learner.n_steps=128)"),
        ("Walker", names[0]),
        ("Walker", "random (learner.n_steps=128)"),
        ("Hopper", names[1]),
        ("Hopper", "random (learner.n_steps=2048)"),
        ("Walker", names[1]),
        ("Walker", "random (learner.n_steps=2048)"),
        ("Hopper", 'M (agent="random", learner.n_steps=128)'),
    ]
    assert {row["method"] for row in rows(tmp_path / "a")} == {"M", "random"}


def test_long_settings_have_short_names(leave_run, tmp_path):
    for seed, weights in enumerate([[0.5] * 100, [0.5] * 100, [0.25] * 100]):
        config = RunConfig(HOPPER, "controller", seed, 10, agent_kwargs={"weights": weights})
        leave_run(tmp_path / f"{seed}", [1.0], config)
    first, second, third = (row["method"] for row in rows(tmp_path))
    assert first == second != third
    assert all(re.fullmatch(r"controller \(agent\.weights=#[0-9a-f]{8}\)", name) for name in (first, third))


def test_tasks_of_one_name_are_told_apart_by_their_environments(leave_study, tmp_path):
    places = {
        "a": StudyTask(HOPPER, "task"),
        "b": StudyTask("HyperRL-PPO-v0", "task", settings={"env_id": "CartPole-v1"}),
        "c": StudyTask("HyperRL-PPO-v0", "task", settings={"env_id": "Pendulum-v1"}),
        "d": StudyTask(HOPPER, "alone"),
    }
    for name, task in places.items():
        study = Study(name, [task], [Method("random")], [0], 10)
        leave_study(tmp_path / name, study, lambda run: [1.0])
    assert [row["task"] for row in rows(tmp_path)] == [
        f"task ({HOPPER})",
        "task (HyperRL-PPO-v0-CartPole-v1)",
        "task (HyperRL-PPO-v0-Pendulum-v1)",
        "alone",
    ]
    assert [row["task"] for row in rows(tmp_path / "b")] == ["task"]


def test_links_are_followed_and_every_run_is_found_once(leave_run, leave_study, tmp_path):
    top, elsewhere = tmp_path / "top", tmp_path / "elsewhere"
    study = Study("S", [StudyTask(HOPPER)], [Method("random", "R")], [0, 1])
    leave_study(top / "study", study, lambda run: [1.0])
    leave_run(elsewhere / "runs" / "a", [1.0])
    # A run of the study, a folder of runs, and circles: below, above, and outside.
    (top / "study" / "PPO-Hopper-R-0").rename(elsewhere / "moved")
    (top / "study" / "PPO-Hopper-R-0").symlink_to(elsewhere / "moved")
    (top / "others").symlink_to(elsewhere / "runs")
    (top / "latest").symlink_to(top / "study" / "PPO-Hopper-R-1")
    (top / "study" / "up").symlink_to(top)
    (elsewhere / "runs" / "back").symlink_to(elsewhere / "runs")
    (top / "study" / "zzz").symlink_to(tmp_path)
    assert [(row["folder"], row["method"]) for row in rows(top)] == [
        ("others/a", "random"),
        ("study/PPO-Hopper-R-0", "R"),
        ("study/PPO-Hopper-R-1", "R"),
    ]
    (tmp_path / "link").symlink_to(top)
    assert rows(tmp_path / "link") == rows(top)


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no run in .*config\.json"):
        runs_table(tmp_path)
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        runs_table(tmp_path / "missing")


def test_every_column_is_documented():
    from hyperrl_lab.studies import table

    assert [
        line.split("`")[1] for line in table.__doc__.splitlines() if line.startswith("| `")
    ] == SCHEMA.names
