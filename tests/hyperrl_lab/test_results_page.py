"""A page's section and its picture are written; nothing else of the user's is."""

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
