"""The studies that are declared in `studies/`: every one can be carried out."""

import shutil
import tomllib
from pathlib import Path

import pytest

from agents.controller_weights import ControllerWeights, weights_file
from agents.experience import experience_path
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
    for method in tomllib.loads(path.read_text(encoding="utf-8"))["methods"]:
        settings = method.get("settings", {}) if isinstance(method, dict) else {}
        if file := settings.get("experience"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(experience_path("PPO"), folder / file)
        if file := settings.get("weights"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(weights_file(ControllerWeights()), encoding="utf-8")
