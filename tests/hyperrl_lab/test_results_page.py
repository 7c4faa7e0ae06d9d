"""A page's section and its picture are written; nothing else of the user's is."""

import re
from urllib.parse import unquote

import pytest

from hyperrl_lab.results_page import check_page, write_section

MARKS = "<!-- duo: begin -->\n<!-- duo: end -->\n"


def write(page, study="duo"):
    """Writes a section, whose picture is a text here."""
    write_section(
        page,
        study,
        draw=lambda path: path.write_text("drawn"),
        markdown=lambda picture: f"## Duo\n\n![Duo]({picture})\n",
    )


@pytest.fixture
def page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Mine\n\n{MARKS}")
    return page


def test_a_picture_outside_of_the_section_is_not_overwritten(page):
    page.write_text(f"![my own](page/duo.png)\n\n{MARKS}")
    picture = page.with_suffix("") / "duo.png"
    picture.parent.mkdir()
    picture.write_text("mine")
    with pytest.raises(FileExistsError, match="does not show it: it is not overwritten"):
        check_page(page, "duo")
    with pytest.raises(FileExistsError):
        write(page)
    assert picture.read_text() == "mine"
    picture.unlink()
    write(page)
    assert picture.read_text() == "drawn"
    picture.write_text("an earlier one")
    write(page)
    assert picture.read_text() == "drawn"


@pytest.mark.parametrize("target", ["mine.png", "nowhere.png"])
def test_a_link_or_a_folder_in_the_pictures_place_is_not_replaced(page, target):
    write(page)
    picture = page.with_suffix("") / "duo.png"
    (page.parent / "mine.png").write_text("mine")
    picture.unlink()
    picture.symlink_to(page.parent / target)
    with pytest.raises(FileExistsError, match="is a link or a folder, not a picture"):
        check_page(page, "duo")
    assert picture.is_symlink()
    picture.unlink()
    picture.mkdir()
    with pytest.raises(FileExistsError, match="is a link or a folder, not a picture"):
        check_page(page, "duo")


def test_the_rest_of_a_page_keeps_its_newlines(page):
    page.write_bytes(b"# Mine\r\n\r\n<!-- duo: begin -->\r\nold\r\n<!-- duo: end -->\r\nA\nB\r\n")
    write(page)
    assert page.read_bytes() == (
        b"# Mine\r\n\r\n<!-- duo: begin -->\r\n## Duo\r\n\r\n![Duo](page/duo.png)\r\n<!-- duo: end -->\r\n"
        b"A\nB\r\n"
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
def test_a_studys_name_is_no_pattern_and_its_picture_is_shown(page, study):
    page.write_text(f"<!-- {study}: begin -->\n<!-- {study}: end -->\n")
    for _ in range(2):
        write(page, study)
    assert (page.with_suffix("") / f"{study}.png").is_file()
    # In Markdown neither a space nor a bracket can be in a link as it is.
    (link,) = re.findall(r"\]\((\S+)\)", page.read_text())
    assert "(" not in link
    assert unquote(link) == f"page/{study}.png"


def test_another_studys_marks_are_not_taken_for_its_own(page):
    page.write_text("<!-- 1x5: begin -->\n<!-- 1x5: end -->\n")
    with pytest.raises(ValueError, match=r"must have the marks <!-- 1\.5: begin -->"):
        check_page(page, "1.5")


def test_what_is_in_the_place_of_the_pictures_folder_is_refused(page, tmp_path):
    bare = tmp_path / "results"
    bare.write_text(MARKS)
    with pytest.raises(
        ValueError, match=r"needs an ending, such as results\.md: .* pictures go into the folder"
    ):
        check_page(bare, "duo")
    page.with_suffix("").write_text("mine")
    with pytest.raises(
        FileExistsError, match="is not a folder, but the page's pictures go into a folder there"
    ):
        check_page(page, "duo")
    assert page.with_suffix("").read_text() == "mine"
