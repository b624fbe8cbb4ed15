"""Files are written completely or not at all, and a power cut keeps the old one or the new one."""

import errno
import os
import stat
from pathlib import Path

import pytest

from edgehar.files import sync_folder, whole_file, write_text
from edgehar.model.bundle import ModelBundle, write_bundle


@pytest.fixture
def disk(monkeypatch):
    """The calls that decide what a power cut leaves, in order: ("sync file" or "sync folder" or "rename", name)."""
    calls = []
    fsync, replace = os.fsync, Path.replace

    def note_sync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        calls.append(f"sync {kind}")
        fsync(descriptor)

    def note_rename(self, target):
        calls.append(f"rename to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_rename)
    return calls


def test_a_file_is_flushed_before_it_gets_its_name_and_the_name_after(tmp_path, disk):
    write_text(tmp_path / "a.txt", "new")
    assert disk == ["sync file", "rename to a.txt", "sync folder"]
    assert (tmp_path / "a.txt").read_text() == "new"


def test_a_bundle_is_flushed_before_it_gets_its_name(tmp_path, tiny_bundle, disk):
    bundle = ModelBundle.open(tiny_bundle)
    write_bundle(tmp_path / "b.edgehar", bundle.manifest, bundle.files)
    assert disk == ["sync file", "rename to b.edgehar", "sync folder"]
    assert ModelBundle.open(tmp_path / "b.edgehar").files == bundle.files


def test_a_failing_block_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(IsADirectoryError), whole_file(path) as temporary:
        temporary.write_bytes(tmp_path.read_bytes())
    assert [path.read_text(), *(other.name for other in tmp_path.iterdir())] == ["old", "a.txt"]


@pytest.mark.parametrize(("number", "raises"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_folders_that_the_file_system_cannot_flush_are_left(tmp_path, monkeypatch, number, raises):
    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    if raises:
        with pytest.raises(OSError, match="error"):
            sync_folder(tmp_path)
    else:
        sync_folder(tmp_path)
