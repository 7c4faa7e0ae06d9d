import csv
from shutil import rmtree

import pyarrow.parquet as pq
import pytest

from hyperrl_lab.cli import main
from hyperrl_lab.config import RunConfig
from hyperrl_lab.studies.study import Method, Study, StudyTask
from hyperrl_lab.studies.table import SCHEMA, runs_table

HOPPER, WALKER = "HyperRL-PPO-Hopper-v0", "HyperRL-PPO-Walker2d-v0"


@pytest.fixture
def study_folder(leave_study, tmp_path):
    """A study of 2 tasks x 2 methods x 5 seeds, in which one method is always better."""
    study = Study(
        "Walking",
        [StudyTask(HOPPER, "Hopper", 10), StudyTask(WALKER, "Walker", 10)],
        [Method("random", "RND"), Method("fixed", "default")],
        range(5),
        baseline="default",
    )
    better = {"RND": 2000.0, "default": 0.0}
    return leave_study(tmp_path / "study", study, lambda run: [better[run.method] + run.config.seed])


def test_runs_methods_and_tasks_are_shown(study_folder, capsys):
    assert main(["results", str(study_folder)]) == 0
    shown = capsys.readouterr()
    lines = [line.split() for line in shown.out.splitlines()]
    run = "Hopper-RND-3 Hopper RND 3 finished 10 0 2,003 2,003 2,003 - 1 5.00"
    assert run.split() in lines
    # IQM of 2000 ... 2004: 2002. Both methods have the same spread; every run is better than the baseline's.
    (method,) = (line for line in lines if line[:5] == ["Walker", "RND", "10", "0", "5"])
    assert method[5] == "2,002"
    assert "[100 % to 100 %]" in " ".join(method)
    assert "P(better than default)" in shown.out
    assert "Over the tasks: Hopper, Walker." in shown.out
    assert "no interval" not in shown.out
    assert shown.err == ""


def test_the_csv_file_holds_the_whole_table_and_is_not_overwritten(study_folder, capsys):
    path = study_folder.parent / "runs.csv"
    assert main(["results", str(study_folder), "--csv", str(path), "--sort", "mean_last_100"]) == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = runs_table(study_folder)
    assert list(rows[0]) == SCHEMA.names
    assert {row["folder"]: float(row["area"]) for row in rows} == dict(
        zip(table["folder"].to_pylist(), table["area"].to_pylist(), strict=True)
    )
    scores = [float(row["mean_last_100"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    before = path.read_text()
    capsys.readouterr()
    assert main(["results", str(study_folder), "--csv", str(path)]) == 2
    assert f"{path} exists: it is not overwritten" in capsys.readouterr().err.replace("\n", " ")
    assert path.read_text() == before


def test_a_table_stands_in_for_the_runs_it_was_written_from(study_folder, tmp_path, capsys):
    path = tmp_path / "runs.parquet"
    assert main(["results", str(study_folder), "--parquet", str(path)]) == 0
    of_the_runs = capsys.readouterr()
    rmtree(study_folder)
    assert main(["results", str(path)]) == 0
    assert capsys.readouterr() == of_the_runs
    before = path.read_bytes()
    assert main(["results", str(path), "--parquet", str(path)]) == 2
    assert f"{path} exists: it is not overwritten" in capsys.readouterr().err.replace("\n", " ")
    assert path.read_bytes() == before


def test_seeds_in_several_places_count_together(study_folder, leave_study, tmp_path, capsys):
    further = Study(
        "More",
        [StudyTask(HOPPER, "Hopper", 10), StudyTask(WALKER, "Walker", 10)],
        [Method("random", "RND"), Method("fixed", "default")],
        range(5, 8),
        baseline="default",
    )
    # Every one of the further runs of RND is worse than all of the baseline's.
    more = leave_study(tmp_path / "more", further, lambda run: [-100.0 if run.method == "RND" else 1.0])
    table = tmp_path / "more.parquet"
    assert main(["results", str(more), "--parquet", str(table)]) == 0
    capsys.readouterr()
    for place in (more, table):
        assert main(["results", str(study_folder), str(place)]) == 0
        lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        assert f"{place}/Hopper-RND-6 Hopper RND 6 finished" in "\n".join(lines)
        (method,) = (line for line in lines if line.startswith("Walker RND 10 0 8 "))
        # 5 of 8 runs are better than each of the baseline's.
        assert "62 % [" in method


def test_methods_of_several_places_are_told_apart(leave_run, tmp_path, capsys):
    for name, width in (("a", 1), ("b", 2)):
        config = RunConfig(HOPPER, "fixed", 0, 10, env_kwargs={"learner_kwargs": {"n_epochs": width}})
        leave_run(tmp_path / name / "run", [float(width)], config)
    assert main(["results", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    shown = capsys.readouterr().out
    assert "fixed (learner.n_epochs=1)" in shown
    assert "fixed (learner.n_epochs=2)" in shown


def test_studies_with_different_baselines_are_compared_with_none(study_folder, leave_study, tmp_path, capsys):
    other = Study(
        "Other", [StudyTask(HOPPER, "Hopper", 10)], [Method("random", "RND")], range(5, 10), baseline="RND"
    )
    more = leave_study(tmp_path / "more", other, lambda run: [1.0])
    assert main(["results", str(study_folder), str(more)]) == 0
    assert "better than" not in capsys.readouterr().out


def _other_version(path):
    table = pq.read_table(path)
    about = {**table.schema.metadata, b"version": b"99"}
    pq.write_table(table.replace_schema_metadata(about), path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b""), "is no table of runs, or damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is no table of runs, or damaged"),
        (
            lambda path: pq.write_table(SCHEMA.empty_table(), path),
            "is no table of runs: `hyperrl results DIR",
        ),
        (_other_version, "is a table of runs of version 99"),
    ],
    ids=["empty", "cut", "another table", "another version"],
)
def test_a_file_that_is_no_table_of_runs_is_told(spoil, message, study_folder, tmp_path, capsys):
    path = tmp_path / "runs.parquet"
    assert main(["results", str(study_folder), "--parquet", str(path)]) == 0
    spoil(path)
    capsys.readouterr()
    assert main(["results", str(path)]) == 2
    shown = capsys.readouterr()
    assert message in shown.err.replace("\n", " ")
    assert shown.out == ""


def test_the_order_of_the_runs_changes_no_comparison(leave_run, tmp_path, capsys):
    for number, (agent, value) in enumerate([("random", 1.0), ("fixed", 2.0), ("random", 9.0)]):
        leave_run(tmp_path / f"{number}", [value], RunConfig(HOPPER, agent, 0, 10))
    shown = []
    for order in ([], ["--sort", "mean_last_100"]):
        assert main(["results", str(tmp_path), *order]) == 0
        shown.append(capsys.readouterr().out.partition("Methods"))
    assert shown[0][1:] == shown[1][1:]
    assert shown[0][0] != shown[1][0]
    assert "another run has its task, method and seed" in shown[0][2]


def test_few_seeds_open_runs_and_other_budgets_are_told_and_the_rest_goes_on(leave_run, tmp_path, capsys):
    for seed in range(3):
        leave_run(tmp_path / f"a{seed}", [1.0], RunConfig(HOPPER, "random", seed, 10))
        leave_run(tmp_path / f"b{seed}", [1.0], RunConfig(HOPPER, "random", seed, 20))
        leave_run(tmp_path / f"c{seed}", [1.0], RunConfig(WALKER, "random", seed, 10))
    leave_run(tmp_path / "half", [1.0], RunConfig(HOPPER, "random", 3, 10), status=None)
    (leave_run(tmp_path / "torn", [1.0]) / "summary.json").write_text("{")
    assert main(["results", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "3 seeds: no interval, which takes 5." in shown.out
    assert "2 of the runs are not compared: they have not ended" in shown.out
    assert "PPO-Hopper has runs that differ in budget (10, 20 env steps)" in shown.out
    assert "[" not in shown.out.partition("Methods")[2].partition("\n")[2]
    assert shown.err.startswith("warning: torn: summary.json is damaged")


def test_other_budgets_of_a_single_task_are_told_too(leave_run, tmp_path, capsys):
    for budget in (10, 20):
        leave_run(tmp_path / str(budget), [1.0], RunConfig(HOPPER, "random", 0, budget))
    assert main(["results", str(tmp_path)]) == 0
    told = (
        "PPO-Hopper has runs that differ in budget (10, 20 env steps): they are not compared with each other."
    )
    assert told in capsys.readouterr().out


def test_names_that_look_like_markup_are_shown_as_they_are(leave_study, tmp_path, capsys):
    names = ("lr [x]", "a[/b]", "a :smile: b")
    study = Study(
        *("S", [StudyTask(HOPPER, "[task]", 10)], [Method("random", name) for name in names], [0]),
        baseline="lr [x]",
    )
    folder = leave_study(tmp_path / "[red]", study, lambda run: [1.0])
    assert main(["results", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert [name for name in (*names, "[task]", "P(better than lr [x])") if shown.count(name) < 1] == []


@pytest.mark.parametrize("written", ["NaN", "null"])
def test_scores_that_are_not_finite_are_none_and_the_run_is_named(written, leave_run, tmp_path, capsys):
    leave_run(tmp_path / "bad", [1.0, float("nan")], RunConfig(HOPPER, "random", 0, 20))
    for name in ("evaluated", "good"):
        folder = leave_run(tmp_path / name, [1.0, 2.0], RunConfig(HOPPER, "random", len(name), 20))
        value = "3.0" if name == "good" else written
        evaluation = f'{{"mean_return": {value}, "std_return": {value}, "episodes": 2}}'
        (folder / "evaluation.json").write_text(evaluation)
    for metric in ("evaluation_mean", "mean_last_100", "area"):
        assert main(["results", str(tmp_path), "--metric", metric]) == 0
    bad, evaluated, good = runs_table(tmp_path).to_pylist()
    assert bad["mean_last_100"] is bad["best_100"] is evaluated["evaluation_mean"] is None
    assert (evaluated["mean_last_100"], good["evaluation_mean"]) == (1.5, 3.0)
    assert {bad["status"], evaluated["status"], good["status"]} == {"finished"}
    told = capsys.readouterr().err
    assert "warning: bad: No mean_last_10, mean_last_100, best_100" in told
    assert "warning: evaluated: No evaluation_mean, evaluation_std: a return is not a finite number" in told
    assert main(["report", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sort", "mean_last_1000"], "Did you mean 'mean_last_100'"),
        (["--metric", "seed"], "Unknown metric 'seed'"),
        (["--baseline", "dqn"], "Valid methods: RND, default"),
    ],
)
def test_bad_names_are_answered_with_the_right_ones(arguments, message, study_folder, capsys):
    assert main(["results", str(study_folder), *arguments]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_folder_without_runs_is_an_error(tmp_path, capsys):
    assert main(["results", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: There is no run in ")
