"""The figures of the pages follow from the tables of runs beside them."""

import re
from pathlib import Path

import pytest

from hyperrl_lab.paper import STUDIES
from hyperrl_lab.studies.comparison import compare, grouped, over_tasks
from hyperrl_lab.studies.table import joined
from hyperrl_lab.studies.table_file import read_runs
from hyperrl_lab.studies.text import share, with_interval

DOCS = Path(__file__).parents[1] / "docs"
TABLES = sorted(DOCS.glob("*/*.parquet"))
PICTURES = [*DOCS.glob("experience/*.png"), *DOCS.glob("results/*.png")]
EVALUATIONS = ("training-tasks", "held-out-tasks", "further-seeds")
# Names of the methods in the summary of learning from run to run: in the studies.
SUMMARY = {
    "`prior`": "prior",
    "`prior` with `slopes=false`": "prior without slopes",
    "`epgt` with carried memory": "EPGT with carried memory",
    "`controller`": "controller",
    "`controller` with `shuffled=true`": "controller, shuffled",
}
BASELINES = ("default", "RND", "EPGT", "adaptive_kl", "learning_rate 2x")


def rows(text):
    """The rows of the Markdown tables in a text."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]


def section(path):
    page = path.parent.with_suffix(".md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {path.stem}: begin -->\n(.*?)<!-- {path.stem}: end -->", page, re.DOTALL)
    assert f"]({path.parent.name}/{path.name})" in found[1]
    return rows(found[1])


def test_every_picture_has_its_table():
    assert sorted(path.with_suffix(".parquet") for path in PICTURES) == TABLES


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_sections_figures_follow_from_its_table(path):
    runs, baseline = read_runs(path)
    shown = section(path)
    if path.stem in STUDIES:
        paper = STUDIES[path.stem]
        found = compare(grouped(runs, paper.metric), baseline, paper.statistic)
        expected = [
            [
                one.group.task,
                one.group.method,
                with_interval(one.estimate),
                with_interval(one.improvement, share),
            ]
            for one in found
        ]
    else:
        expected = [
            [one.method, with_interval(one.estimates["iqm"]), with_interval(one.improvement, share)]
            for one in over_tasks(grouped(runs), baseline)[0]
        ]
    assert expected
    for cells in expected:
        assert any(set(cells) <= set(row) for row in shown), cells


def test_the_summary_follows_from_the_tables_of_the_evaluation():
    runs = joined(
        {name: read_runs(DOCS / "experience" / f"evaluation-{name}.parquet")[0] for name in EVALUATIONS}
    )
    page = rows((DOCS / "experience.md").read_text(encoding="utf-8"))
    for number, baseline in enumerate(BASELINES):
        found = {one.method: one.improvement for one in over_tasks(grouped(runs), baseline)[0]}
        for name, method in SUMMARY.items():
            p = found[method]
            expected = f"{100 * p.value:.0f} % [{100 * p.low:.0f} to {100 * p.high:.0f}]"
            (row,) = (row for row in page if row[0] == name and len(row) == 1 + len(BASELINES))
            assert row[1 + number] == expected
