"""Every notebook runs from top to bottom at a small budget, and what is committed is clean."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def outputs_of(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_there_is_a_notebook_for_every_text_and_the_other_way_round():
    assert len(NOTEBOOKS) >= 4
    assert [path.stem for path in NOTEBOOKS] == [path.stem for path in sorted(FOLDER.glob("*.py"))]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, monkeypatch, tmp_path):
    monkeypatch.setenv("HYPERRL_NOTEBOOK_SCALE", "0.01")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    # At so small a budget the prior plays the task's own values, and says so.
    expected = "ignore:The experience says too little"
    monkeypatch.setenv("PYTHONWARNINGS", f"error::UserWarning,error::RuntimeWarning,{expected}")
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert all(output.get("name") != "stderr" for output in outputs_of(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_text_beside_it_is_the_same(path):
    text, notebook = jupytext.read(path.with_suffix(".py")), nbformat.read(path, as_version=4)
    assert [(c.cell_type, c.source) for c in text.cells] == [(c.cell_type, c.source) for c in notebook.cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_outputs_are_whole_and_clean(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for output in outputs_of(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        data = output.get("data", {})
        text = "".join([output.get("text", ""), *(v for k, v in data.items() if k.startswith("text/"))])
        assert not re.search(r"Warning|/home/|/tmp/|/root/|/work/|site-packages", text)
    assert any("image/png" in output.get("data", {}) for output in outputs_of(notebook))
