"""The documentation builds without a warning, its links lead somewhere, and it leaves nothing public out."""

import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import agents
from hyperrl_env import DEFINITIONS, HYPER_REWARDS, PRESETS, TASKS, env_ids

ROOT = Path(__file__).parents[1]
GAMES = "|".join(name for name, task in TASKS.items() if task.family == "atari")
DOCUMENTED = ("hyperrl_env", "agents", "agents.episodic", "hyperrl_lab")


class Page(HTMLParser):
    """Ids, links, and what a browser would fetch by itself."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.fetched, self.scripts = set(), set(), set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        if tag == "a" and "href" in attributes:
            self.links.add(attributes["href"])
        elif tag == "link" and attributes.get("rel") not in ("canonical", "prev", "next"):
            self.fetched.add(attributes["href"])
        elif tag in ("script", "img", "iframe", "source") and attributes.get("src"):
            self.fetched.add(attributes["src"])
            self.scripts += [Path(attributes["src"]).name] if tag == "script" else []


def is_external(link):
    return link.startswith(("http:", "https:", "//", "mailto:"))


def check_links(site):
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    for path, page in pages.items():
        assert not [link for link in page.fetched if is_external(link)], path
        for link in page.fetched | page.links:
            if is_external(link) or link.startswith("data:"):
                continue
            target, anchor = urldefrag(unquote(link))
            there = (path.parent / target.partition("?")[0]).resolve() if target else path
            there = there / "index.html" if there.is_dir() else there
            assert there.exists(), f"{path.name}: {link}"
            assert not anchor or there not in pages or anchor in pages[there].ids, f"{path.name}: {link}"
    return pages


def documented_objects(site):
    """The names in Sphinx's inventory format: four lines of header, the rest compressed."""
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split(" ")[0] for line in zlib.decompress(inventory).decode().splitlines()}


def check_search(site, pages):
    """A page that was opened from a file fetches no JSON and starts no worker: it has scripts for both."""
    index = (site / "search" / "search_index.js").read_text()
    found = {doc["location"] for doc in json.loads(index.removeprefix("var __index = "))["docs"]}
    assert {path.relative_to(site).as_posix() for path in pages} <= found
    for page in pages.values():
        worker, theme = page.scripts
        assert worker == "iframe-worker.js"
        text = (site / "assets" / "javascripts" / theme).read_text()
        assert "search/search_index.js" in text
        assert "new Worker(" in text


def test_the_site(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    site = tmp_path / "site"
    pages = check_links(site)
    check_search(site, pages)

    objects = documented_objects(site)
    for module in DOCUMENTED:
        public = {f"{module}.{name}" for name in importlib.import_module(module).__all__}
        assert not public - objects

    assert set(agents.AGENTS) <= pages[site / "agents.html"].ids
    # Games share a row, and are listed beneath it.
    ids = [re.sub(rf"-({GAMES})-v0$", "-{Game}-v0", id_) for id_ in env_ids()]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for file, names in (
        ("ids", ids),
        ("hyperparameters", [*DEFINITIONS, *PRESETS, *HYPER_REWARDS]),
        ("installation", extras),
    ):
        text = (site / f"{file}.html").read_text()
        assert not [name for name in names if f"<code>{name}</code>" not in text]
    assert not [name for name in GAMES.split("|") if name not in (site / "ids.html").read_text()]
    assert {path.stem for path in ROOT.glob("notebooks/*.ipynb")} == {
        p.stem for p in site.glob("notebooks/*.html")
    }
