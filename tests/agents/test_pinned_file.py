"""A file is known again by its SHA-256."""

import pytest

from agents.pinned_file import read_pinned

# FIPS 180-2, appendix B.1.
OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "some.json"
    path.write_bytes(b"abc")
    return path


def test_the_file_that_a_run_began_with(file):
    assert read_pinned("schedule", file) == read_pinned("schedule", file, OF_ABC) == (b"abc", OF_ABC)


@pytest.mark.parametrize("sha256", [OF_ABC.upper(), OF_ABC[:-1], ""])
def test_another_file(file, sha256):
    with pytest.raises(
        ValueError, match=rf"The schedule .*some\.json is not the .* is {OF_ABC}, not {sha256}\."
    ):
        read_pinned("schedule", file, sha256)


def test_no_file(file):
    file.unlink()
    with pytest.raises(ValueError, match=r"The schedule .*some\.json cannot be read: No such file"):
        read_pinned("schedule", file, OF_ABC)
