from dataclasses import replace

import pytest

import agents
from hyperrl_lab.paper import FIGURE_2, STUDIES, TABLE_2
from hyperrl_lab.studies.comparison import METRICS
from hyperrl_lab.studies.statistics import STATISTICS
from hyperrl_lab.studies.study import Method


@pytest.fixture
def later():
    """`later()` makes the agent of this name exist."""

    def exist():
        agents.register("later", agents.RandomAgent)

    yield exist
    agents.AGENTS._known.pop("later", None)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_of_the_paper_is_declared_whole(name):
    paper = STUDIES[name]
    study = paper.scaled()
    tasks, methods = [task.name for task in study.tasks], [method.name for method in paper.study.methods]
    assert paper.metric in METRICS
    assert paper.statistic in STATISTICS
    assert all([*tasks, *methods, paper.claim, paper.place])
    assert study.baseline in methods
    known = {*methods, *(method.name for method in paper.others)}
    assert {task for task, _ in paper.published} <= set(tasks)
    assert {method for _, method in paper.published} <= known
    assert {gain.method for gain in paper.gains} | {gain.over for gain in paper.gains} <= known
    assert len(study.runs()) == len(tasks) * len(study.methods) * len(study.seeds)


def test_the_numbers_of_the_paper_are_at_their_places():
    one, two = STUDIES["table1"].published, STUDIES["table2"].published
    assert (one["Walker2d", "EPGT"].value, one["Walker2d", "EPGT"].std) == (888, 425)
    assert (one["Ant", "HOOF"].value, one["Hopper", "TMG"].value) == (954, 378)
    assert [two[task.name, "EPGT"].value for task in TABLE_2.tasks] == [3253, 9322, 235, 282]
    assert (two["BipedalWalker", "PB2"].value, two["LunarLanderContinuous", "PBT"].value) == (280, 159)


def test_the_scale_shrinks_budgets_and_nothing_else_and_the_title_says_so():
    paper = STUDIES["table2"]
    small, whole = paper.scaled(0.1), paper.scaled()
    assert small.title == "Table 2: EPGT on PPO, at 10 % of the paper's budget"
    assert whole.title == "Table 2: EPGT on PPO, at the paper's budget"
    for mine, theirs in zip(small.runs(), TABLE_2.runs(), strict=True):
        assert mine.config.total_env_steps == 100_000
        assert (mine.folder, mine.config.env_kwargs, mine.config.agent_kwargs, mine.config.seed) == (
            *(theirs.folder, theirs.config.env_kwargs, theirs.config.agent_kwargs),
            theirs.config.seed,
        )
    assert [run.config for run in whole.runs()] == [run.config for run in TABLE_2.runs()]
    budgets = [task.total_env_steps for task in STUDIES["fig2"].scaled(0.5).tasks]
    assert budgets == [task.total_env_steps // 2 for task in FIGURE_2.tasks]


def test_two_environment_phases_are_the_least_and_the_title_says_so():
    small = STUDIES["table2"].scaled(1e-6)
    assert {task.total_env_steps for task in small.tasks} == {2 * 2048}
    assert small.title.endswith("at 0.0001 % of the paper's budget, at least two environment phases")
    # 5 steps in 1 and in 128 environments.
    assert [task.total_env_steps for task in STUDIES["fig2"].scaled(1e-6).tasks] == [10, 1280]


def test_seeds_and_tasks_can_be_fewer():
    study = STUDIES["table2"].scaled(0.1, seeds=2, tasks=["Hopper"])
    assert [run.folder for run in study.runs()] == [
        f"Hopper-{method}-{seed}" for seed in (0, 1) for method in ("EPGT", "default", "RND")
    ]


def test_the_populations_of_the_paper_are_perturbed_as_often_at_every_scale():
    paper = STUDIES["table2"]
    whole = paper.populations(paper.scaled(seeds=1))
    assert [run.folder for run in whole[:3]] == [
        *("Hopper-PBT-0", "Hopper-PB2-0", "InvertedDoublePendulum-PBT-0"),
    ]
    assert len(whole) == 8
    assert (whole[1].config.agent, whole[1].config.total_env_steps) == ("pb2", 1_000_000)
    for scale, budget, every in ((1, 1_000_000, 50_000), (0.1, 100_000, 5_000), (1e-6, 4_096, 2_048)):
        for run in paper.populations(paper.scaled(scale, seeds=1)):
            assert run.config.total_env_steps == budget
            assert run.config.agent_kwargs == {"population": 4, "perturb_every": every}
    assert STUDIES["fig2"].populations(FIGURE_2) == []


def test_a_method_works_by_itself_once_its_agent_exists(later):
    method = Method("later", "LATER")
    paper = replace(STUDIES["table1"], others=[method])
    assert paper.missing == [method]
    assert method not in paper.scaled().methods
    later()
    assert paper.missing == []
    assert method in paper.scaled().methods


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0}, r"scale must be a number in \(0, 1\]"),
        ({"scale": 2.0}, r"scale must be a number in \(0, 1\]"),
        ({"seeds": 0}, "seeds must be a whole number of at least 1"),
        ({"tasks": ["Hoper"]}, "Did you mean 'Hopper'"),
    ],
)
def test_what_is_impossible_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        STUDIES["table2"].scaled(**arguments)
