"""A Markdown page with a section per study, each between marks of its own.

Nothing but the section and its picture is written. A page that is a link is followed to its file, and its
picture goes beside that file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from hyperrl_env.saving.files import is_plain_file, whole_file


def check_page(page: Path, study: str) -> None:
    """Checks that a section can be written.

    Args:
        page: The page.
        study: The study's name, which is in the marks.

    Raises:
        ValueError: The file is missing, has no ending, or does not have the study's marks once.
        FileExistsError: There is something in the place of the study's picture that was not written so: the
            section does not show it, or it is no plain file. Or its folder is no folder.
    """
    _read(page.resolve(), study)


def write_section(
    page: Path, study: str, draw: Callable[[Path], None], markdown: Callable[[str], str]
) -> None:
    """Writes a study between its marks, and its picture into the folder with the page's name beside it.

    Args:
        page: The page.
        study: The study's name, which is in the marks.
        draw: Draws the picture into a file.
        markdown: Gives the section, with the picture's path from the page.

    Raises:
        ValueError: See `check_page`.
        FileExistsError: See `check_page`.
    """
    page = page.resolve()
    found, picture = _read(page, study), _picture(page, study)
    section = markdown(_link(picture)).replace("\n", found["newline"])
    text = found.string[: found.start("section")] + section + found.string[found.end("section") :]
    # Before the picture, which is the section's own from then on, even if this process is cut in between.
    with whole_file(page) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
    picture.parent.mkdir(exist_ok=True)
    draw(picture)


def _read(page: Path, study: str) -> re.Match[str]:
    """The study's `section` in a page, and the `newline` before it, after the checks of `check_page`."""
    if not page.is_file():
        raise ValueError(f"There is no file {page}.")
    if not page.suffix:
        raise ValueError(
            f"{page} needs an ending, such as {page.name}.md: its pictures go into the folder of that name "
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
    _check_picture(page, study, found["section"])
    return found


def _check_picture(page: Path, study: str, section: str) -> None:
    """Checks that only a picture of the section's own is overwritten."""
    picture = _picture(page, study)
    if os.path.lexists(picture.parent) and not picture.parent.is_dir():
        raise FileExistsError(
            f"{picture.parent} is not a folder, but the page's pictures go into a folder there. Move it "
            "elsewhere."
        )
    if not os.path.lexists(picture):
        return
    if not is_plain_file(picture):
        raise FileExistsError(
            f"{picture} is a link or a folder, not a picture of this page's: it is not overwritten. Move it "
            "elsewhere."
        )
    if f"]({_link(picture)})" not in section:
        raise FileExistsError(
            f"{picture} exists, but the section between the marks in {page} does not show it: it is not "
            "overwritten. Move it elsewhere."
        )


def _picture(page: Path, study: str) -> Path:
    return page.with_suffix("") / f"{study}.png"


def _link(picture: Path) -> str:
    """The picture's path from the page, as Markdown can hold it."""
    return quote(f"{picture.parent.name}/{picture.name}")
