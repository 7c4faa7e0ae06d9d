import pytest

from hyperrl_env.files import whole_file, write_text


def test_the_content_is_there_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "first")
    write_text(tmp_path / "a.txt", "second")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "second")]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "first")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:  # noqa: PT012 - half of it is the point
        temporary.write_text("half of the sec")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "first")]


def test_the_temporary_file_keeps_the_suffix(tmp_path):
    with whole_file(tmp_path / "model.zip") as temporary:
        assert temporary.suffix == ".zip"
        assert temporary.parent == tmp_path
        temporary.touch()
