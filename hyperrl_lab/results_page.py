"""A Markdown page with a section per study, each between marks of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from hyperrl_env.saving.files import write_text


def check_page(page: Path, study: str) -> str:
    """The page's text.

    Raises:
        ValueError: The file is missing, or does not have the study's marks once.
        FileExistsError: There is a picture in the place of the study's that the page does not show.
    """
    if not page.is_file():
        raise ValueError(f"There is no file {page}.")
    text = page.read_text(encoding="utf-8")
    if len(re.findall(_pattern(study), text, flags=re.DOTALL)) != 1:
        raise ValueError(
            f"{page} must have the marks <!-- {study}: begin --> and <!-- {study}: end --> once, each on a "
            "line of its own."
        )
    picture = _picture(page, study)
    if picture.exists() and f"]({picture.parent.name}/{picture.name})" not in text:
        raise FileExistsError(f"{picture} exists, but {page} does not show it: it is not overwritten.")
    return text


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
    picture.parent.mkdir(exist_ok=True)
    draw(picture)
    section = markdown(f"{picture.parent.name}/{picture.name}")
    new = f"<!-- {study}: begin -->\n{section}<!-- {study}: end -->"
    write_text(page, re.sub(_pattern(study), lambda _: new, text, flags=re.DOTALL))


def _picture(page: Path, study: str) -> Path:
    return page.with_suffix("") / f"{study}.png"


def _pattern(study: str) -> str:
    return rf"<!-- {study}: begin -->\n.*?<!-- {study}: end -->"
