"""Every study of the paper, from the command to the files, at a tiny scale."""

import shutil
from dataclasses import replace

import pytest

from hyperrl_lab import paper as paper_module
from hyperrl_lab import reproduction
from hyperrl_lab.cli import main
from hyperrl_lab.commands import reproduce
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.search.methods import POPULATIONS
from hyperrl_lab.studies.record import write_record
from hyperrl_lab.studies.study import Method, Study, StudyTask

TINY_GAMES = {"n_envs": 1, "learner.n_steps": 32, "batch_size": 32, "n_epochs": 1}
# (scale, tasks, settings): a few seconds each.
SMALL = {
    "table1": (2e-4, ["Hopper"], {}),
    "table2": (1e-6, ["Hopper"], {}),
    "fig2": (0.05, ["MountainCarContinuous"], {}),
    "fig3": (1e-6, ["HalfCheetah"], {}),
    "fig4a": (0.05, ["MountainCarContinuous"], {}),
    "fig4b": (1e-6, ["Alien"], TINY_GAMES),
    "fig4c": (1e-6, ["MsPacman"], TINY_GAMES),
    "mujoco": (1e-6, ["Hopper"], {}),
    "atari": (1e-6, ["PPO-Breakout"], TINY_GAMES),
}


@pytest.fixture
def in_this_process(monkeypatch):
    """Carries out studies without processes of their own, which take seconds to start, and without Ray."""

    def carry_out(study, folder, arguments, console):
        folder.mkdir(parents=True, exist_ok=True)
        write_record(study, folder)
        for run in study.runs():
            if not (folder / run.folder).exists():
                TrainingRun(run.config, folder / run.folder).train(pictures=False)
        return 0

    monkeypatch.setattr(reproduce, "carry_out", carry_out)
    for module in (reproduce, reproduction):
        monkeypatch.setattr(module, "populations_exist", lambda: False)


@pytest.mark.parametrize("name", paper_module.STUDIES)
def test_a_study_runs_from_end_to_end(name, in_this_process, monkeypatch, tmp_path, capsys):
    scale, tasks, settings = SMALL[name]
    paper = paper_module.STUDIES[name]
    small = [replace(task, settings=settings) for task in paper.study.tasks if task.name in tasks]
    paper = replace(paper, study=replace(paper.study, tasks=small))
    monkeypatch.setattr(reproduce, "STUDIES", {name: paper})
    arguments = ["reproduce", name, "--scale", str(scale), "--seeds", "1", "--tasks", *tasks]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    page = (tmp_path / f"{name}.md").read_text()
    assert page in capsys.readouterr().out
    title = page.splitlines()[0]
    assert title.startswith(f"# {paper.study.title}, at ")
    assert f"{100 * scale:g} % of the paper's budget" in title
    begins = tuple(f"| {task} |" for task in tasks)
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith(begins)]
    methods = [*paper.study.methods, *paper.others]
    assert [(row[0].lstrip("| "), row[1]) for row in rows] == [(t, m.name) for t in tasks for m in methods]
    for row, method in zip(rows, [*methods] * len(tasks), strict=True):
        if method in paper.missing:
            assert row[4] == f"not available: no agent `{method.agent}`"
        elif method.agent in POPULATIONS:
            assert row[3:5] == ["0", "not available: needs the extra `ray`"]
        elif settings is not TINY_GAMES:  # in which no game ends
            assert row[3] == "1"
            float(row[4].replace(",", ""))
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000


@pytest.fixture
def table2(leave_study, monkeypatch, tmp_path):
    """Table 2 at a tenth of its budget, on two tasks; EPGT has the seeds 0 to 4, the others one less.

    No agent is behind PBT.
    """
    paper = replace(paper_module.STUDIES["table2"], others=[Method("later", "PBT")])
    monkeypatch.setattr(reproduce, "STUDIES", {**paper_module.STUDIES, "table2": paper})
    study = paper.scaled(0.1, seeds=5, tasks=["Hopper", "BipedalWalker"])
    returns = {"EPGT": 3000.0, "default": 2000.0, "RND": 1000.0}
    folder = leave_study(tmp_path / "table2", study, lambda run: [returns[run.method] + run.config.seed] * 3)
    for method in ("default", "RND"):
        for task in ("Hopper", "BipedalWalker"):
            shutil.rmtree(folder / f"{task}-{method}-4")
    return folder


COMMAND = [
    "reproduce",
    "table2",
    "--scale",
    "0.1",
    "--seeds",
    "5",
    "--tasks",
    "Hopper",
    "BipedalWalker",
    "--no-run",
]


def test_measured_stands_beside_published(table2, capsys):
    assert main([*COMMAND, "--out", str(table2)]) == 0
    page = (table2 / "table2.md").read_text()
    assert page.startswith("# Table 2: EPGT on PPO, at 10 % of the paper's budget\n")
    assert "\nhyperrl reproduce table2 --scale 0.1 --seeds 5 --tasks Hopper BipedalWalker --out" in page
    # The median of 3000 ... 3004, and of 2000 ... 2003; four seeds have no interval.
    (epgt,) = (line for line in page.splitlines() if line.startswith("| Hopper | EPGT |"))
    assert epgt.startswith("| Hopper | EPGT | 100,000 | 5 | 3,002 [3,00")
    assert " | 1.58 | 3,253 | 100 % | " in epgt
    assert "| Hopper | default | 100,000 | 4 | 2,002 | 1.29 | - | - | - | 2,002 |" in page
    assert "| Hopper | PBT | 100,000 | 0 | not available: no agent `later` | - | 1,492 (Parker" in page
    assert "4 seeds: no interval, which takes 5." in page
    assert "Over the tasks (Hopper, BipedalWalker), by normalised scores:" in page
    assert "\n| default | 4 | " in page
    assert "4 of the study's 30 runs have not begun." in page
    assert "**The paper:** EPGT has the highest median" in page


def test_the_command_has_the_folder_that_was_given(table2, monkeypatch, capsys):
    monkeypatch.chdir(table2.parent)
    # A path of this machine says nothing to others.
    for out, shown in ((f"{table2.name}/", table2.name), (str(table2), "runs/table2")):
        assert main([*COMMAND, "--out", out]) == 0
        assert f" BipedalWalker --out {shown}\n" in (table2 / "table2.md").read_text()


def test_runs_of_another_configuration_do_not_count(table2, capsys):
    changes = [(0, "100000", "200000"), (1, '"agent_kwargs": {}', '"agent_kwargs": {"k_write": 1}')]
    for seed, old, new in changes:
        config = table2 / f"Hopper-EPGT-{seed}" / "config.json"
        config.write_text(config.read_text().replace(old, new))
    assert main([*COMMAND, "--out", str(table2)]) == 0
    page = (table2 / "table2.md").read_text()
    assert "| Hopper | EPGT | 100,000 | 3 | 3,003 |" in page
    assert "2 of the runs in the folder are not the study's, or have another configuration." in page
    assert main([*COMMAND[:2], "--no-run", "--out", str(table2)]) == 2
    assert "holds no run of this study at this scale" in capsys.readouterr().err


def test_runs_of_another_study_rename_nothing(table2, leave_study, capsys):
    assert main([*COMMAND, "--out", str(table2)]) == 0
    page = (table2 / "table2.md").read_text()
    another = Study("S", [StudyTask("HyperRL-A2C-Hopper-v0", "Hopper", 10)], [Method("epgt", "EPGT")], [0])
    leave_study(table2 / "another", another, lambda run: [1.0])
    assert main([*COMMAND, "--out", str(table2)]) == 0
    note = "1 of the runs in the folder are not the study's, or have another configuration."
    assert (table2 / "table2.md").read_text() == page.replace("have not begun.", f"have not begun. {note}")


def test_nothing_is_overwritten_that_it_did_not_write(table2, capsys):
    assert main([*COMMAND, "--out", str(table2)]) == 0
    assert main([*COMMAND, "--out", str(table2)]) == 0
    (table2 / "files.json").unlink()
    assert main([*COMMAND, "--out", str(table2)]) == 2
    assert "which this run did not write" in capsys.readouterr().err


def test_a_page_gets_the_study_between_its_marks(table2, tmp_path, capsys):
    page = tmp_path / "results.md"
    text = "# Results\n\n<!-- table2: begin -->\nold\n<!-- table2: end -->\n\nThe end.\n"
    page.write_text(text)
    assert main([*COMMAND, "--out", str(table2), "--page", str(page)]) == 0
    written = page.read_text()
    begin, end = text.split("old\n")
    section = written.removeprefix(begin).removesuffix(end)
    assert section.startswith("## Table 2: EPGT on PPO, at 10 % of the paper's budget\n")
    assert "](results/table2.png)" in section
    assert (tmp_path / "results" / "table2.png").is_file()
    assert main([*COMMAND, "--out", str(table2), "--page", str(page)]) == 0
    assert page.read_text() == written
    page.write_text(text)
    assert main([*COMMAND, "--out", str(table2), "--page", str(page)]) == 2
    assert "does not link to it: it is not overwritten" in capsys.readouterr().err
    page.write_text(written)
    assert main(["reproduce", "fig2", "--no-run", "--out", str(table2), "--page", str(page)]) == 2
    assert "must have the marks <!-- fig2: begin -->" in capsys.readouterr().err
    assert page.read_text() == written
