"""The report's page: one HTML file with everything in it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from hyperrl_env.saving.files import is_plain_file, write_text
from hyperrl_lab.report.data import gather

REPORT_FILE = "report.html"
_MARKER = "Written by hyperrl report"
_SCRIPTS = ("common", "results", "curves", "comparison", "schedules", "map")


def write_report(
    folder: Path, out: Path | None = None, step: Callable[[str, float], None] = lambda what, part: None
) -> Path:
    """Writes the report of the runs in a folder: one page that opens from the disk, without a network.

    Args:
        folder: A study's folder, a folder of runs, or a run's.
        out: The page; an earlier report there is replaced. None: `report.html` in the folder.
        step: Called with what is being done, and the part of it that is done, in [0, 1].

    Returns:
        The page's path.

    Raises:
        ValueError: There is no run in the folder.
        NotADirectoryError: It is not a folder.
        FileExistsError: There is something else at the page's path.
    """
    path = folder / REPORT_FILE if out is None else out
    _check(path)
    text = render(gather(folder, step))
    _check(path)
    write_text(path, text)
    return path


def render(data: Mapping[str, Any]) -> str:
    """The page that shows the result of `gather`."""
    # Plotly takes a moment to import.
    from plotly.offline import get_plotlyjs

    page = files(__package__) / "page"
    parts = {
        "marker": _MARKER,
        "title": html.escape(data["title"]),
        "style": (page / "style.css").read_text(encoding="utf-8"),
        "plotly": get_plotlyjs(),
        "data": _as_json(data),
        "script": "\n".join((page / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS),
    }
    template = (page / "template.html").read_text(encoding="utf-8")
    # In one pass, so that nothing in the data is taken for a place to fill.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)


def _as_json(data: Mapping[str, Any]) -> str:
    """JSON that no text in it can end before its time: a script element ends at the first "</script"."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _check(path: Path) -> None:
    """Raises FileExistsError unless a report can be written there: to a new file, or over an earlier one."""
    if not path.exists() and not path.is_symlink():
        return
    if is_plain_file(path):
        with path.open("rb") as file:
            if _MARKER.encode() in file.readline(200):
                return
    raise FileExistsError(
        f"{path} exists and is not a report: it is not overwritten. Give another file with --out."
    )
