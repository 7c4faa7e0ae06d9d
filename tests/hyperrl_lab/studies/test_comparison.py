import numpy as np
import pyarrow as pa
import pytest

from hyperrl_lab.studies.comparison import compare, grouped, left_out, over_tasks
from hyperrl_lab.studies.reference_scores import ReferenceScores
from hyperrl_lab.studies.statistics import cohens_d, estimate, probability_of_improvement
from hyperrl_lab.studies.study import Method, Study, StudyTask
from hyperrl_lab.studies.table import SCHEMA, runs_table

HOPPER, WALKER = "HyperRL-PPO-Hopper-v0", "HyperRL-PPO-Walker2d-v0"
SEEDS = range(5)


def table(rows):
    """A table of runs: (task, method, seed, score), and what differs from a finished run of 100 steps."""
    ids = {"A": HOPPER, "B": WALKER}
    whole = [
        {
            **{"task": task, "method": method, "seed": seed, "mean_last_100": score},
            **{"id": ids.get(task, HOPPER), "budget": 100, "status": "finished", **(other or {})},
        }
        for task, method, seed, score, other in ((*row, None)[:5] for row in rows)
    ]
    return pa.Table.from_pylist(whole, SCHEMA)


def test_methods_are_compared_with_the_baseline_on_each_task(leave_study, tmp_path):
    tasks = [StudyTask(HOPPER, "A", 10), StudyTask(WALKER, "B", 10)]
    study = Study("title", tasks, [Method("random"), Method("fixed")], SEEDS)
    scores = {run.folder: float(number**2 % 7) for number, run in enumerate(study.runs())}
    leave_study(tmp_path, study, lambda run: [scores[run.folder]])
    found = compare(grouped(runs_table(tmp_path)), "fixed", "mean")
    assert [(c.group.task, c.group.method) for c in found] == [
        ("A", "random"),
        ("A", "fixed"),
        ("B", "random"),
        ("B", "fixed"),
    ]
    ours, theirs = ([scores[f"B-{method}-{seed}"] for seed in SEEDS] for method in ("random", "fixed"))
    assert found[2].group.values.tolist() == ours
    assert found[2].estimate == estimate(ours, "mean")
    assert found[2].std == np.std(ours, ddof=1)
    assert found[2].improvement == probability_of_improvement(ours, theirs)
    assert found[2].effect == cohens_d(ours, theirs)
    assert found[3].improvement is found[3].effect is None
    assert all(c.improvement is None for c in compare(grouped(runs_table(tmp_path))))
    with pytest.raises(ValueError, match="Valid methods: random, fixed"):
        compare(grouped(runs_table(tmp_path)), "dqn")


def test_runs_that_have_not_ended_and_repeated_seeds_do_not_count():
    (group,) = grouped(
        table(
            [
                ("A", "m", 0, 1.0),
                ("A", "m", 0, 9.0),
                ("A", "m", 1, 2.0, {"status": "diverged", "extra_env_steps": 1234}),
                *(("A", "m", 2, 3.0, {"status": status}) for status in ("running", "failed", "interrupted")),
                ("A", "m", 3, None),
                ("A", "m", 4, 3.0, {"id": None, "status": "damaged"}),
                ("A", "m", 5, None, {"budget": None, "status": "interrupted"}),
            ]
        )
    )
    assert group.scores == {0: 1.0, 1: 2.0}
    assert (group.open, group.repeated) == (4, 1)
    assert list(left_out(compare([group]))) == [
        "4 of the runs are not compared: they have not ended, or have no score",
        "1 of the runs is not compared: another run has its task, method and seed",
        "m on A spends up to 1,234 env steps per run beside its budget",
        "2 seeds: no interval, which takes 5",
    ]
    (open_,) = grouped(table([("A", "m", 0, None)]))
    assert list(left_out(compare([open_]))) == [
        "1 of the runs is not compared: it has not ended, or has no score"
    ]


def test_runs_of_different_budgets_are_never_compared():
    rows = [("A", m, seed, float(seed), {"budget": b}) for m in "xy" for b in (10, 20) for seed in range(2)]
    rows += [("B", m, seed, float(seed)) for m in "xy" for seed in range(2)]
    groups = grouped(table([*rows, ("A", "z", 0, 5.0, {"budget": 30})]))
    found = compare(groups, "y")
    assert [(c.group.budget, c.improvement is not None) for c in found if c.group.task == "A"] == [
        (10, True),
        (20, True),
        (10, False),
        (20, False),
        (30, False),
    ]
    together, tasks, notes = over_tasks(groups, "y")
    assert (together, tasks) == ([], ["B"])
    assert notes == ["A has runs that differ in budget (10, 20, 30 env steps): not compared over the tasks"]


def test_tasks_of_one_name_in_different_environments_are_not_mixed():
    rows = [("A", "x", 0, 1.0), ("A", "y", 0, 1.0, {"id": WALKER}), ("B", "x", 0, 1.0)]
    groups = grouped(table(rows))
    assert len(groups) == 3
    assert compare(groups, "y")[0].improvement is None
    assert over_tasks(groups)[2] == [
        f"A has runs that differ in environment ({HOPPER}, {WALKER}): not compared over the tasks"
    ]


def test_scores_over_tasks_are_normalised_and_use_the_seeds_that_all_tasks_have():
    rng = np.random.default_rng(0)
    own = {"A": ReferenceScores(0.0, 10.0, "here"), "B": ReferenceScores(-1.0, 1.0, "here")}
    rows = [(task, m, seed, rng.normal()) for task in "AB" for m in "xy" for seed in SEEDS]
    rows += [("A", "x", 9, 5.0), ("A", "z", 0, 1.0), ("C", "x", 0, 1.0, {"id": "HyperRL-PPO-v0"})]
    rows += [("D", "x", 0, None, {"status": "running"})]
    together, tasks, notes = over_tasks(grouped(table(rows)), "y", own)
    scores = {
        m: np.array(
            [[(low + score) / spread for t, n, s, score, *_ in rows if (t, n) == (task, m) and s in SEEDS]
             for task, low, spread in (("A", 0, 10), ("B", 1, 2))]
        ).T
        for m in "xy"
    }  # fmt: skip
    assert tasks == ["A", "B"]
    assert [found.method for found in together] == ["x", "y"]
    assert together[0].estimates["iqm"].value == pytest.approx(estimate(scores["x"]).value)
    assert together[0].estimates["median"].low == pytest.approx(estimate(scores["x"], "median").low)
    assert together[0].improvement == probability_of_improvement(scores["x"], scores["y"])
    assert together[1].improvement is None
    assert notes == [
        "C has no reference scores: not normalised",
        "On D no run has ended: left out over the tasks",
        "z has no seed that has ended on every task: not compared over the tasks",
    ]
    published = over_tasks(grouped(table(rows)))[0][0]
    assert published.estimates["mean"].value != together[0].estimates["mean"].value
