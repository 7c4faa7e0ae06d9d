"""The page about the architecture: every room that it names is there, and every file has one."""

import inspect
import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE_PATH = ROOT / "docs" / "architecture.md"
PAGE = PAGE_PATH.read_text()
PICTURE = (ROOT / "docs" / "architecture.svg").read_text()
RECORDS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
FOLDERS = (
    *("hyperrl_env", "agents", "hyperrl_lab"),
    *("hyperrl_env/learners", "hyperrl_env/learners/fast", "hyperrl_lab/studies"),
)
TOPS = ("hyperrl_env", "agents", "hyperrl_lab", "tests", "benchmarks")
SOURCES = re.findall(r"^\[\[source: (.+)\]\]$", PAGE, flags=re.MULTILINE)
LINKS = re.findall(r"\]\(#(\w+\.[\w.]+)\)", PAGE)


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


def rooms():
    """The first column of every table, by the folder that is named last before it."""
    found, folder = {}, ""
    for line in PAGE.splitlines():
        if line.startswith("|"):
            found.setdefault(folder, []).extend(quoted(line.split("|")[1]))
        else:
            folders = [name.rstrip("/") for name in quoted(line)]
            folder = next((name for name in reversed(folders) if name in FOLDERS), folder)
    return found


def inside(folder):
    """The files of a folder, and the folders in it with a slash."""
    for path in (ROOT / folder).iterdir():
        if path.suffix == ".py" and not path.name.startswith("__"):
            yield path.name
        elif (path / "__init__.py").exists():
            yield f"{path.name}/"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_has_a_room(folder):
    assert sorted(rooms()[folder]) == sorted(inside(folder))


def test_the_picture_shows_what_is_there():
    names = " ".join(re.findall(r'class="(?:name|floor)">([^<]+)<', PICTURE)).split()
    there = {name for folder in FOLDERS for name in inside(folder)} | {f"{folder}/" for folder in FOLDERS}
    assert set(names) <= there
    assert set(inside("hyperrl_env")) <= set(names)


def test_the_picture_has_the_numbers_of_the_steps():
    steps = re.search(r"## What happens in `env.step`\?(.*?)\n## ", PAGE, flags=re.DOTALL)[1]
    assert set(re.findall(r'class="no"[^>]*>(\d+)<', PICTURE)) == set(re.findall(r"^(\d+)\. ", steps, re.M))


def test_every_source_is_a_function_that_is_linked():
    assert all(inspect.isfunction(pkgutil.resolve_name(name)) for name in SOURCES)
    assert set(SOURCES) == set(LINKS)


@pytest.mark.parametrize("path", [PAGE_PATH, *RECORDS], ids=lambda path: path.stem)
def test_every_file_that_is_named_is_there(path):
    named = {name for name in quoted(path.read_text()) if re.fullmatch(r"[\w/]+\.py", name)}
    there = [f"/{file.relative_to(ROOT).as_posix()}" for top in TOPS for file in (ROOT / top).rglob("*.py")]
    assert [name for name in named if not any(file.endswith(f"/{name}") for file in there)] == []
