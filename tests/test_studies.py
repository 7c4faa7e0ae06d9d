"""The studies that are declared in `studies/`: every one can be carried out."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from agents.controller_weights import ControllerWeights, weights_file
from agents.experience import Experience
from agents.experience_file import experience_path, read_experience, write_experience
from hyperrl_env.learners import learner_class
from hyperrl_lab.ids import id_kwargs
from hyperrl_lab.studies.declaration import read_study

DECLARED = sorted((Path(__file__).parents[1] / "studies").glob("*.toml"))


@pytest.mark.parametrize("path", DECLARED, ids=lambda path: path.stem)
def test_a_declared_study_can_be_carried_out(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    leave_what_comes_before(path, tmp_path)
    study = read_study(path)
    runs = study.runs()
    assert len(runs) == len(study.tasks) * len(study.methods) * len(study.seeds)
    command = "evolve" if path.stem == "controller" else "sweep"
    assert f"hyperrl {command} studies/{path.name} --" in path.read_text(encoding="utf-8")


def leave_what_comes_before(path, folder):
    """Leaves the files that the methods of a study read, which other studies make."""
    declared = tomllib.loads(path.read_text(encoding="utf-8"))
    for method in declared["methods"]:
        settings = method.get("settings", {}) if isinstance(method, dict) else {}
        if file := settings.get("experience"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            write_experience(experience_of(id_kwargs(declared["tasks"][0]["id"])["algorithm"]), folder / file)
        if file := settings.get("weights"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(weights_file(ControllerWeights()), encoding="utf-8")


def experience_of(algorithm):
    """The runs of the file that ships, as if this algorithm, with what it offers, had been trained."""
    offered = learner_class(algorithm).offered
    runs = [
        replace(run, changes={name: change for name, change in run.changes.items() if name in offered})
        for run in read_experience(experience_path("PPO")).runs
    ]
    return Experience(algorithm, runs)
