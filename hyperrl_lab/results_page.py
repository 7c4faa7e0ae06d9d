"""A Markdown page with a section per study, each between marks of its own.

Nothing but the section, its picture and its table of runs is written. A page that is a link is followed to
its file, and these go beside that file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from hyperrl_env.saving.files import is_plain_file, whole_file
from hyperrl_lab.studies.table_file import write_runs


def check_page(page: Path, study: str) -> None:
    """Checks that a section can be written.

    Args:
        page: The page.
        study: The study's name, which is in the marks.

    Raises:
        ValueError: The file is missing, has no ending, or does not have the study's marks once.
        FileExistsError: There is something in the place of the study's picture, or of its table of runs, that
            was not written so: the section does not link to it, or it is no plain file. Or their folder is no
            folder.
    """
    _read(page.resolve(), study)


def write_section(
    page: Path,
    study: str,
    draw: Callable[[Path], None],
    markdown: Callable[[str], str],
    runs: pa.Table,
    baseline: str | None,
) -> None:
    """Writes a study between its marks, and its files into the folder with the page's name beside it.

    Args:
        page: The page.
        study: The study's name, which is in the marks.
        draw: Draws the picture into a file.
        markdown: Gives the section, with the picture's path from the page.
        runs: All runs that the section is of; see `hyperrl_lab.studies.table`.
        baseline: The method that the others are compared with.

    Raises:
        ValueError: See `check_page`.
        FileExistsError: See `check_page`.
    """
    page = page.resolve()
    found = _read(page, study)
    picture, table = _files(page, study)
    kept = f"\n[All runs of this section]({_link(table)}), a table for `hyperrl results`.\n"
    section = (markdown(_link(picture)) + kept).replace("\n", found["newline"])
    text = found.string[: found.start("section")] + section + found.string[found.end("section") :]
    # Before its files, which are the section's own from then on, even if this process is cut in between.
    with whole_file(page) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
    picture.parent.mkdir(exist_ok=True)
    draw(picture)
    write_runs(runs, baseline, table)


def _read(page: Path, study: str) -> re.Match[str]:
    """The study's `section` in a page, and the `newline` before it, after the checks of `check_page`."""
    if not page.is_file():
        raise ValueError(f"There is no file {page}.")
    if not page.suffix:
        raise ValueError(
            f"{page} needs an ending, such as {page.name}.md: its files go into the folder of that name "
            "without the ending."
        )
    # As text it would lose its newlines.
    text = page.read_bytes().decode("utf-8")
    begin, end = (f"^<!-- {re.escape(study)}: {place} -->" for place in ("begin", "end"))
    found = re.search(rf"{begin}(?P<newline>\r?\n)(?P<section>.*?){end}", text, re.MULTILINE | re.DOTALL)
    counts = [len(re.findall(mark, text, re.MULTILINE)) for mark in (begin, end)]
    if found is None or counts != [1, 1]:
        raise ValueError(
            f"{page} must have the marks <!-- {study}: begin --> and <!-- {study}: end --> once, each on a "
            "line of its own."
        )
    for file in _files(page, study):
        _check_file(page, file, found["section"])
    return found


def _check_file(page: Path, file: Path, section: str) -> None:
    """Checks that only a file of the section's own is overwritten."""
    if os.path.lexists(file.parent) and not file.parent.is_dir():
        raise FileExistsError(
            f"{file.parent} is not a folder, but the page's files go into a folder there. Move it elsewhere."
        )
    if not os.path.lexists(file):
        return
    if not is_plain_file(file):
        raise FileExistsError(
            f"{file} is a link or a folder, not a file of this page's: it is not overwritten. Move it "
            "elsewhere."
        )
    if f"]({_link(file)})" not in section:
        raise FileExistsError(
            f"{file} exists, but the section between the marks in {page} does not link to it: it is not "
            "overwritten. Move it elsewhere."
        )


def _files(page: Path, study: str) -> tuple[Path, Path]:
    """The study's picture, and its table of runs."""
    folder = page.with_suffix("")
    return folder / f"{study}.png", folder / f"{study}.parquet"


def _link(file: Path) -> str:
    """A file's path from the page, as Markdown can hold it."""
    return quote(f"{file.parent.name}/{file.name}")
