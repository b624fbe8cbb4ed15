"""Folders of footage with their tables of cameras and incidents."""

import dataclasses

import pytest

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.alarms.recordings import find_recordings


@pytest.fixture
def data(tmp_path):
    """Two data sets: one with tables above its folders, one without any."""
    for name in ("ordinary/a.mp4", "ordinary/b.mp4", "fight/c.mp4", "fight/d.avi", "fight/e.MP4"):
        name = f"cctv/{name}"
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "plain/deep").mkdir(parents=True)
    for name in ("plain/deep/f.webm", "plain/.hidden.mp4", "plain/notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "cctv/groups.csv").write_text(
        "clip,group,note\nordinary/a.mp4,yard,by day\nfight/c.mp4,yard,\nfight/d.avi,other:cam1,\n"
    )
    (tmp_path / "cctv/events.csv").write_text(
        "clip,label,start_s,end_s\nordinary/b.mp4,fall,3,4\nfight/c.mp4,fight,2,5.5\nfight/c.mp4,fight,9,\n"
        "fight/e.MP4,fall,1,2\n"
    )
    return tmp_path


def test_tables_above_the_folder_name_cameras_and_incidents(data):
    found, warnings = find_recordings([data / "cctv/ordinary", data / "plain"], [data / "cctv/fight"], ["fight"])
    told = {one.name: (one.camera, one.incidents, one.ordinary) for one in found}
    assert told == {
        "cctv/ordinary/a.mp4": ("cctv:yard", (), True),
        # A fall is nothing to a detector of fights.
        "cctv/ordinary/b.mp4": ("cctv:ordinary/b.mp4", (), True),
        "plain/deep/f.webm": ("plain:deep/f.webm", (), True),
        "cctv/fight/c.mp4": ("cctv:yard", ((2.0, 5.5), (9.0, None)), False),
        "cctv/fight/d.avi": ("other:cam1", ((0.0, None),), False),
        "cctv/fight/e.MP4": ("cctv:fight/e.MP4", (), False),
    }
    assert warnings == ["cctv/fight/e.MP4: events.csv names no fight in it"]


def test_recordings_know_the_folder_that_was_given(data):
    found, _ = find_recordings([data / "cctv/ordinary", data / "plain"], [data / "cctv/fight"], ["fight"])
    assert list(dict.fromkeys(one.folder for one in found)) == ["cctv/ordinary", "plain", "cctv/fight"]


def test_a_folder_and_the_one_above_it_name_a_clip_alike(data):
    above = {one.path: one for one in find_recordings([data / "cctv"], [], ["fight"])[0]}
    for one in find_recordings([data / "cctv/ordinary"], [], ["fight"])[0]:
        assert dataclasses.replace(above[one.path], folder=one.folder) == one


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        (
            "events.csv",
            "clip,label,start_s,end_s\nfight/c.mp4,fight,x,2\n",
            "line 2: start_s and end_s must be seconds",
        ),
        ("events.csv", "clip,label,start_s,end_s\nfight/c.mp4,fight,3,2\n", "less than end_s"),
        ("events.csv", "clip,label,start_s,end_s\nfight/c.mp4,fight,-1,2\n", "0 or more"),
        ("events.csv", "clip,label,start_s,end_s\nfight/z.mp4,fight,1,2\n", "fight/z.mp4: no such clip"),
        ("events.csv", "clip,label\nfight/c.mp4,fight\n", "no column start_s"),
        ("groups.csv", "clip;group\n", "no column clip"),
        ("groups.csv", "clip,group\nfight/c.mp4,\xff\n", "cannot be read as CSV in UTF-8"),
    ],
)
def test_a_table_that_is_wrong_names_its_line(data, table, text, message):
    (data / "cctv" / table).write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError, match=message):
        find_recordings([data / "cctv/ordinary"], [data / "cctv/fight"], ["fight"])


def test_folders_that_cannot_be_are_said(data):
    with pytest.raises(ConfigError, match="no such folder"):
        find_recordings([data / "none"], [], ["fight"])
    (data / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no video"):
        find_recordings([data / "empty"], [], ["fight"])
    with pytest.raises(ConfigError, match="give it once"):
        find_recordings([data / "cctv/fight"], [data / "cctv"], ["fight"])
