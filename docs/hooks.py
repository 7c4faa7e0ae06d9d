"""What the documentation takes from the code, so that the two cannot differ.

A line `[[table: TITLE]]` of a page becomes that table of `hyperrl list`, `[[help: PROGRAM]]` the help
of every subcommand, `[[names: MODULE]]` the reference of every name in that module's `__all__`,
`[[extras: PROJECT]]` what each extra of `pyproject.toml` installs, `[[source: NAME]]` the source of a
function. Each notebook becomes a page, with the outputs that are committed.
"""

from __future__ import annotations

import importlib
import inspect
import io
import pkgutil
import re
import textwrap
import tomllib
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

from hyperrl_lab import cli, listing

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replaces the lines that name something of the code."""
    return re.sub(r"^\[\[(\w+): (.+)\]\]$", lambda m: WRITERS[m[1]](m[2]), markdown, flags=re.MULTILINE)


def table(title: str) -> str:
    """A table of `hyperrl list` as Markdown, named by the beginning of its title."""
    found = next(table for table in listing.LISTINGS.values() if table.title.startswith(title))
    rows = [[_plain(column) for column in found.columns], ["---"] * len(found.columns)]
    for first, *others in found.rows():
        rows.append([f"`{first}`" if found.named else _plain(first), *map(_plain, others)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _plain(cell: str) -> str:
    """A cell's text without what Markdown would take for a column or for attributes."""
    return cell.replace("|", r"\|").replace("{", "&#123;")


def command_help(program: str) -> str:
    """What `PROGRAM COMMAND --help` prints, for every command."""

    def printed(*arguments: str) -> str:
        with redirect_stdout(io.StringIO()) as text, suppress(SystemExit):
            cli.main([*arguments, "--help"])
        return text.getvalue().strip()

    commands = re.findall(r"^    (\w+) ", printed(), flags=re.MULTILINE)
    return "\n\n".join(f"## `{program} {c}`\n\n```text\n{printed(c)}\n```" for c in commands)


def names(module: str) -> str:
    """The reference of a module's public names: classes and functions first, tables after."""
    public = importlib.import_module(module)
    callables_first = sorted(public.__all__, key=lambda name: not callable(getattr(public, name)))
    return "\n\n".join(f"::: {module}.{name}" for name in callables_first)


def extras(project: str) -> str:
    """The extras of a project, which is this one, and the packages of each."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if about["name"] != project:
        raise ValueError(f"pyproject.toml is that of {about['name']}, not {project}")
    rows = ["| extra | installs |", "|---|---|"]
    for extra, requirements in about["optional-dependencies"].items():
        packages = [re.split(r"[<>=!~; ]", requirement)[0] for requirement in requirements]
        rows.append(f"| `{extra}` | {', '.join(packages)} |")
    return "\n".join(rows)


def source(name: str) -> str:
    """A function's source, by its full name, folded away; a link to its name unfolds it."""
    function = pkgutil.resolve_name(name)
    lines, number = inspect.getsourcelines(function)
    path = f"{function.__module__.replace('.', '/')}.py"
    code = textwrap.dedent("".join(lines))
    title = f"<code>{function.__qualname__}</code> in <code>{path}</code>, line {number}"
    # The name is that of something inside: browsers unfold what they go to.
    return (
        f'<details class="mkdocstrings-source" markdown><summary>{title}</summary>\n'
        f'<div id="{name}" markdown>\n\n~~~~python\n{code}~~~~\n\n</div>\n</details>\n'
    )


WRITERS: dict[str, Callable[[str], str]] = {
    "table": table,
    "help": command_help,
    "names": names,
    "extras": extras,
    "source": source,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for every notebook, and its pictures."""
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        body, resources = MarkdownExporter().from_filename(
            str(notebook), resources={"unique_key": notebook.stem, "output_files_dir": "figures"}
        )
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=body))
        for name, picture in resources["outputs"].items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    return files
