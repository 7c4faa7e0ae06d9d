"""The studies that are declared in `studies/`: every one can be carried out."""

import shutil
import tomllib
from pathlib import Path

import pytest

from agents.experience import experience_path
from hyperrl_lab.studies.declaration import read_study

DECLARED = sorted((Path(__file__).parents[1] / "studies").glob("*.toml"))


@pytest.mark.parametrize("path", DECLARED, ids=lambda path: path.stem)
def test_a_declared_study_can_be_carried_out(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # What an earlier round has left.
    for method in tomllib.loads(path.read_text(encoding="utf-8"))["methods"]:
        if isinstance(method, dict) and (file := method.get("settings", {}).get("experience")):
            (tmp_path / file).parent.mkdir(exist_ok=True)
            shutil.copy(experience_path("PPO"), tmp_path / file)
    study = read_study(path)
    runs = study.runs()
    assert len(runs) == len(study.tasks) * len(study.methods) * len(study.seeds)
    assert f"hyperrl sweep studies/{path.name} --out" in path.read_text(encoding="utf-8")
