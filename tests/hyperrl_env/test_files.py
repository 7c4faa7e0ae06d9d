import errno
import os
import stat

import pytest

from hyperrl_env.saving.files import final_name, is_plain_file, whole_file, write_text


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


def test_a_missing_folder_is_named_and_no_temporary_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*new to write a\.txt to$"):
        write_text(tmp_path / "new" / "a.txt", "first")


def test_the_temporary_file_keeps_the_suffix(tmp_path):
    with whole_file(tmp_path / "model.zip") as temporary:
        assert temporary.suffix == ".zip"
        assert temporary.parent == tmp_path
        temporary.touch()


def test_the_temporary_files_name_gives_the_final_one_away(tmp_path):
    for name in ("model.zip", "README", "a.tar.gz", ".hidden"):
        with whole_file(tmp_path / name) as temporary:
            assert final_name(temporary.name) == name
            temporary.touch()
    for name in (
        "model.zip",
        ".model.zip",
        ".model.123.zip",
        ".0123456789abcdef.zip",
        ".a.0123456789ABCDEF.zip",
    ):
        assert final_name(name) is None


def test_a_link_is_not_a_plain_file(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    assert [p.name for p in sorted(tmp_path.iterdir()) if is_plain_file(p)] == ["file"]


def test_a_file_system_that_cannot_sync_folders_keeps_files_all_the_same(tmp_path, monkeypatch):
    sync = os.fsync

    def only_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_system_that_opens_no_folders_and_syncs_no_file_that_it_only_reads(tmp_path, monkeypatch):
    """As Windows does."""
    open_, sync, writable = os.open, os.fsync, set()

    def open_files(path, flags, *arguments, **keywords):
        assert not os.path.isdir(path)
        descriptor = open_(path, flags, *arguments, **keywords)
        if flags & (os.O_WRONLY | os.O_RDWR):
            writable.add(descriptor)
        return descriptor

    def sync_what_can_be_written(descriptor):
        assert descriptor in writable
        sync(descriptor)

    monkeypatch.delattr(os, "O_DIRECTORY")
    monkeypatch.setattr(os, "open", open_files)
    monkeypatch.setattr(os, "fsync", sync_what_can_be_written)
    write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
