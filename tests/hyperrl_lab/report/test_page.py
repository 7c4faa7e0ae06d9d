import json
from html.parser import HTMLParser

import pytest

from hyperrl_lab.cli import main
from hyperrl_lab.config import RunConfig
from hyperrl_lab.report import page
from hyperrl_lab.report.page import REPORT_FILE, write_report
from tests.hyperrl_lab.report.conftest import HOSTILE


class Reader(HTMLParser):
    """The elements of a page, and the text in each script, as a browser reads them."""

    def __init__(self):
        super().__init__()
        self.tags, self.scripts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, text):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += text


@pytest.fixture(scope="session")
def read(tiny_page):
    reader = Reader()
    reader.feed(tiny_page)
    return reader


@pytest.fixture
def folder(leave_run, tmp_path):
    """A folder with one run."""
    leave_run(tmp_path / "runs" / "a", [1.0] * 10, RunConfig("HyperRL-PPO-Hopper-v0", "random", 0, 100))
    return tmp_path / "runs"


def test_the_page_holds_the_data_and_loads_nothing(read, tiny_data):
    assert json.loads(read.scripts[1]) == tiny_data
    assert len(read.scripts) == 3
    for tag, attributes in read.tags:
        assert "src" not in attributes
        assert tag not in ("img", "iframe", "object")
        if tag in ("a", "link"):
            assert attributes["href"].startswith(("#", "data:"))


def test_names_are_text_wherever_they_stand(tiny_page, tiny_data):
    assert HOSTILE in tiny_data["methods"]
    assert "<img" not in tiny_page
    assert "A study &lt;/script&gt;" in tiny_page


def test_a_report_is_replaced_and_nothing_else_is(folder, tmp_path):
    path = write_report(folder)
    assert path == folder / REPORT_FILE
    assert path.read_text().startswith("<!DOCTYPE html><!-- Written by hyperrl report")
    path.write_text(path.read_text()[:300])
    write_report(folder)
    assert path.read_text().endswith("</html>\n")
    for other in ("page.html", "link.html", "folder.html"):
        path = tmp_path / other
        if other == "page.html":
            path.write_text("<!DOCTYPE html>\n<!-- Written by hyperrl report -->mine")
        elif other == "link.html":
            path.symlink_to(folder / REPORT_FILE)
        else:
            path.mkdir()
        with pytest.raises(FileExistsError, match=r"is not a report: it is not overwritten"):
            write_report(folder, path)
    assert (tmp_path / "page.html").read_text().endswith("mine")


def test_a_report_that_fails_leaves_the_earlier_one(folder, monkeypatch):
    path = write_report(folder)
    before = path.read_text()
    monkeypatch.setattr(page, "render", lambda data: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(folder)
    assert path.read_text() == before
    assert [p.name for p in folder.iterdir() if p.is_file()] == [REPORT_FILE]


def test_the_command(folder, tmp_path, capsys):
    out = tmp_path / "out.html"
    assert main(["report", str(folder), "--out", str(out)]) == 0
    assert f"{out} holds the report (" in capsys.readouterr().out
    assert out.is_file()
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty")]) == 2
    assert "no run in" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    out.write_text("mine")
    assert main(["report", str(folder), "--out", str(out)]) == 2
    assert "Give another file with --out" in capsys.readouterr().err
    assert main(["report", str(folder), "--out", str(tmp_path / "none" / "a.html")]) == 2
