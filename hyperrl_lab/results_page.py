"""A Markdown page with a section per study, each between marks of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from hyperrl_env.saving.files import is_plain_file, write_text


def check_page(page: Path, study: str) -> str:
    """The page's text.

    Raises:
        ValueError: The file is missing, or does not have the study's marks once.
        FileExistsError: There is something in the place of the study's picture that was not written so: the
            section does not show it, or it is no plain file.
    """
    if not page.is_file():
        raise ValueError(f"There is no file {page}.")
    text = page.read_text(encoding="utf-8")
    sections = re.findall(_pattern(study), text, flags=re.DOTALL)
    if len(sections) != 1:
        raise ValueError(
            f"{page} must have the marks <!-- {study}: begin --> and <!-- {study}: end --> once, each on a "
            "line of its own."
        )
    _check_picture(page, study, sections[0])
    return text


def _check_picture(page: Path, study: str, section: str) -> None:
    """Checks that only a picture of the section's own is overwritten."""
    picture = _picture(page, study)
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
    text, picture = check_page(page, study), _picture(page, study)
    section = markdown(_link(picture))
    new = f"<!-- {study}: begin -->\n{section}<!-- {study}: end -->"
    # Before the picture, which is the section's own from then on, even if this process is cut in between.
    write_text(page, re.sub(_pattern(study), lambda _: new, text, flags=re.DOTALL))
    picture.parent.mkdir(exist_ok=True)
    draw(picture)


def _picture(page: Path, study: str) -> Path:
    return page.with_suffix("") / f"{study}.png"


def _link(picture: Path) -> str:
    """The picture's path from the page."""
    return f"{picture.parent.name}/{picture.name}"


def _pattern(study: str) -> str:
    return rf"<!-- {study}: begin -->\n.*?<!-- {study}: end -->"
