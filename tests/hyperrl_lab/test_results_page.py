"""A page's section, its picture and its table are written; nothing else of the user's is."""

import re
from urllib.parse import unquote

import pytest

from hyperrl_lab.results_page import check_page, write_section
from hyperrl_lab.studies.table import SCHEMA
from hyperrl_lab.studies.table_file import read_runs

MARKS = "<!-- duo: begin -->\n<!-- duo: end -->\n"
RUNS = SCHEMA.empty_table()


def write(page, study="duo"):
    """Writes a section, whose picture is a text here."""
    write_section(
        page,
        study,
        draw=lambda path: path.write_text("drawn"),
        markdown=lambda picture: f"## Duo\n\n![Duo]({picture})\n",
        runs=RUNS,
        baseline="default",
    )


@pytest.fixture
def page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Mine\n\n{MARKS}")
    return page


@pytest.mark.parametrize("name", ["duo.png", "duo.parquet"])
def test_a_file_outside_of_the_section_is_not_overwritten(page, name):
    page.write_text(f"![my own](page/{name})\n\n{MARKS}")
    file = page.with_suffix("") / name
    file.parent.mkdir()
    file.write_text("mine")
    with pytest.raises(FileExistsError, match="does not link to it: it is not overwritten"):
        check_page(page, "duo")
    with pytest.raises(FileExistsError):
        write(page)
    assert file.read_text() == "mine"
    file.unlink()
    write(page)
    drawn = file.read_bytes()
    file.write_text("an earlier one")
    write(page)
    assert file.read_bytes() == drawn


@pytest.mark.parametrize("name", ["duo.png", "duo.parquet"])
@pytest.mark.parametrize("target", ["mine.png", "nowhere.png"])
def test_a_link_or_a_folder_in_a_files_place_is_not_replaced(page, name, target):
    write(page)
    file = page.with_suffix("") / name
    (page.parent / "mine.png").write_text("mine")
    file.unlink()
    file.symlink_to(page.parent / target)
    with pytest.raises(FileExistsError, match="is a link or a folder, not a file of this page's"):
        check_page(page, "duo")
    assert file.is_symlink()
    file.unlink()
    file.mkdir()
    with pytest.raises(FileExistsError, match="is a link or a folder, not a file of this page's"):
        check_page(page, "duo")


def test_the_table_holds_the_runs_and_the_baseline(page):
    write(page)
    assert "[All runs of this section](page/duo.parquet)" in page.read_text()
    assert read_runs(page.with_suffix("") / "duo.parquet") == (RUNS, "default")


def test_the_rest_of_a_page_keeps_its_newlines(page):
    page.write_bytes(b"# Mine\r\n\r\n<!-- duo: begin -->\r\nold\r\n<!-- duo: end -->\r\nA\nB\r\n")
    write(page)
    assert page.read_bytes() == (
        b"# Mine\r\n\r\n<!-- duo: begin -->\r\n## Duo\r\n\r\n![Duo](page/duo.png)\r\n\r\n"
        b"[All runs of this section](page/duo.parquet), a table for `hyperrl results`.\r\n"
        b"<!-- duo: end -->\r\nA\nB\r\n"
    )


def test_a_page_that_is_a_link_is_followed(page, tmp_path):
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "here.md"
    link.symlink_to(page)
    write(link)
    assert link.is_symlink()
    assert page.read_text().startswith("# Mine\n\n<!-- duo: begin -->\n## Duo\n\n![Duo](page/duo.png)\n")
    # Beside the page, from where its text refers to it.
    assert (tmp_path / "page" / "duo.png").read_text() == "drawn"


def test_text_between_two_marks_of_one_kind_is_not_taken_for_a_section(page):
    page.write_text("<!-- duo: begin -->\nMine.\n" + MARKS)
    with pytest.raises(ValueError, match=r"must have the marks .* once, each on a line of its own"):
        check_page(page, "duo")
    # Marks that are only spoken of are none.
    page.write_text("Between `<!-- duo: begin -->` and `<!-- duo: end -->`:\n\n" + MARKS)
    write(page)
    assert page.read_text().startswith("Between `<!-- duo: begin -->` and `<!-- duo: end -->`:\n\n<!-- duo")


@pytest.mark.parametrize("study", ["duo (1)", "a+b", "1.5x"])
def test_a_studys_name_is_no_pattern_and_its_files_are_linked(page, study):
    page.write_text(f"<!-- {study}: begin -->\n<!-- {study}: end -->\n")
    for _ in range(2):
        write(page, study)
    assert (page.with_suffix("") / f"{study}.png").is_file()
    # In Markdown neither a space nor a bracket can be in a link as it is.
    links = re.findall(r"\]\((\S+)\)", page.read_text())
    assert "(" not in "".join(links)
    assert [unquote(link) for link in links] == [f"page/{study}.png", f"page/{study}.parquet"]


def test_another_studys_marks_are_not_taken_for_its_own(page):
    page.write_text("<!-- 1x5: begin -->\n<!-- 1x5: end -->\n")
    with pytest.raises(ValueError, match=r"must have the marks <!-- 1\.5: begin -->"):
        check_page(page, "1.5")


def test_what_is_in_the_place_of_the_files_folder_is_refused(page, tmp_path):
    bare = tmp_path / "results"
    bare.write_text(MARKS)
    with pytest.raises(
        ValueError, match=r"needs an ending, such as results\.md: .* files go into the folder"
    ):
        check_page(bare, "duo")
    page.with_suffix("").write_text("mine")
    with pytest.raises(FileExistsError, match="is not a folder, but the page's files go into a folder there"):
        check_page(page, "duo")
    assert page.with_suffix("").read_text() == "mine"
