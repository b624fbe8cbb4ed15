"""Layouts of data sets, and what is said about folders that are none."""

import os
import socket
from pathlib import Path

import pytest

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.data.datasets import Clip, labels_of
from edgehar_training.data.datasets import load_dataset as load_settings
from edgehar_training.settings import DataSettings


def load_dataset(kind, folder, classes=None):
    return load_settings(DataSettings(dataset=kind, folder=None if folder is None else str(folder), classes=classes))


def lay_out(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def test_a_folder_gives_labels_and_every_clip_its_own_group(tmp_path):
    lay_out(tmp_path, "run/b.mp4", "run/a.AVI", "run/notes.txt", "walk/c.mkv", "walk/d.mp4", ".git/x.mp4", "README.md")
    clips = load_dataset("folder", tmp_path)
    assert [(Path(clip.path).name, clip.label, clip.group) for clip in clips] == [
        ("a.AVI", "run", "run/a.AVI"),
        ("b.mp4", "run", "run/b.mp4"),
        ("c.mkv", "walk", "walk/c.mkv"),
        ("d.mp4", "walk", "walk/d.mp4"),
    ]
    assert labels_of(clips) == ["run", "walk"]


def test_groups_come_from_the_table(tmp_path):
    lay_out(tmp_path, "run/a.mp4", "run/b.mp4", "walk/a.mp4", "walk/c.mp4")
    (tmp_path / "groups.csv").write_text("clip,label,group\nrun/a.mp4,run,cam1\nrun/b.mp4,run,cam2\na.mp4,walk,cam1\n")
    clips = load_dataset("folder", tmp_path)
    assert [clip.group for clip in clips] == ["cam1", "cam2", "cam1", "walk/c.mp4"]


@pytest.mark.parametrize(
    ("files", "table", "fragments"),
    [
        ([], None, ["at least two class folders", "found nothing"]),
        (["run/a.mp4", "run/b.mp4"], None, ["at least two class folders", "found run"]),
        (["a.mp4"], None, ["found a.mp4"]),
        (["run/a.mp4", "run/b.mp4", "walk/notes.txt"], None, ["walk", "class without a clip"]),
        (["run/a.mp4", "run/b.mp4", "walk/c.mp4"], None, ["walk", "one clip", "cannot be split"]),
        (
            ["run/a.mp4", "run/b.mp4", "walk/c.mp4", "walk/d.mp4"],
            "clip,label,group\nrun/lost.mp4,run,1\n",
            ["groups.csv", "run/lost.mp4"],
        ),
        (["run/a.mp4", "run/b.mp4", "walk/c.mp4", "walk/d.mp4"], "file,who\nx,y\n", ["groups.csv", "clip,label,group"]),
    ],
)
def test_a_folder_that_does_not_fit_is_explained(tmp_path, files, table, fragments):
    lay_out(tmp_path, *files)
    if table:
        (tmp_path / "groups.csv").write_text(table)
    with pytest.raises(DatasetError) as caught:
        load_dataset("folder", tmp_path)
    for fragment in fragments:
        assert fragment in str(caught.value)


@pytest.mark.parametrize(
    "table", [b"clip,group\nrun/a.mp4,\xff\n", b"clip,group\nrun/a.mp4,a\x00b\r\n" + b"x" * 200000]
)
def test_a_table_of_groups_that_is_no_text_is_explained(tmp_path, table):
    lay_out(tmp_path, "run/a.mp4", "run/b.mp4", "walk/c.mp4", "walk/d.mp4")
    (tmp_path / "groups.csv").write_bytes(table)
    with pytest.raises(DatasetError, match="UTF-8"):
        load_dataset("folder", tmp_path)


def test_rows_without_a_clip_or_group_say_nothing(tmp_path):
    lay_out(tmp_path, "run/a.mp4", "run/b.mp4", "walk/c.mp4", "walk/d.mp4")
    (tmp_path / "groups.csv").write_text("group,clip\ncam1,run/a.mp4\ncam2\n,run/b.mp4\n\n")
    assert [clip.group for clip in load_dataset("folder", tmp_path)][:2] == ["cam1", "run/b.mp4"]


def test_classes_are_chosen_by_name(tmp_path):
    lay_out(tmp_path, *(f"{label}/{n}.mp4" for label in ("run", "sit", "walk") for n in range(2)))
    assert labels_of(load_dataset("folder", tmp_path, ["walk", "run"])) == ["run", "walk"]
    with pytest.raises(ConfigError, match="no class 'jump' in the data; there are run, sit, walk"):
        load_dataset("folder", tmp_path, ["run", "jump"])


def test_a_missing_folder_and_an_unknown_kind(tmp_path):
    with pytest.raises(DatasetError, match="no such folder"):
        load_dataset("folder", tmp_path / "none")
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(DatasetError, match="is a file, not a folder"):
        load_dataset("folder", tmp_path / "a.mp4")
    with pytest.raises(ConfigError, match="needs --data"):
        load_dataset("folder", None)
    with pytest.raises(ConfigError, match=r"folder, csv, kth, .*, synthetic"):
        load_dataset("kinetics", tmp_path)


def test_ut_interaction_groups_by_sequence(tmp_path):
    lay_out(tmp_path, "hug/2_1_1.avi", "hug/10_2_1.avi", "kick/3_1_2.avi", "kick/66_10_2.avi")
    clips = load_dataset("ut-interaction", tmp_path)
    assert {Path(clip.path).name: clip.group for clip in clips} == {
        "2_1_1.avi": "sequence-01",
        "10_2_1.avi": "sequence-02",
        "3_1_2.avi": "sequence-01",
        "66_10_2.avi": "sequence-10",
    }
    lay_out(tmp_path, "hug/movie.avi")
    with pytest.raises(DatasetError, match="<index>_<sequence>_<class>"):
        load_dataset("ut-interaction", tmp_path)


def test_the_synthetic_data_set_has_subjects_as_groups():
    clips = load_dataset("synthetic", None)
    assert labels_of(clips) == ["boxing", "handclapping", "handwaving", "jogging", "running", "walking"]
    assert len({clip.group for clip in clips}) == 40
    assert all(isinstance(clip, Clip) and clip.path.startswith("synthetic:") for clip in clips)


@pytest.mark.parametrize("suffix", ["flv", "3gp", "mts", "h264", "gif", "hevc", "m2ts", "MJPEG", "ogv"])
def test_every_kind_of_video_is_a_clip(tmp_path, suffix):
    lay_out(tmp_path, f"run/a.{suffix}", "run/b.mp4", "walk/c.mp4", "walk/d.mp4")
    assert len(load_dataset("folder", tmp_path)) == 4


def test_everything_left_out_is_named(tmp_path, caplog):
    lay_out(tmp_path, *(f"{label}/{n}.mp4" for label in ("run", "walk") for n in range(2)))
    lay_out(
        tmp_path, "run/notes.txt", "run/LICENSE", "run/.hidden", "run/day2/a.mp4", "run/day2/b.mkv", "run/day3/x.txt"
    )
    (tmp_path / "run/gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    clips = load_dataset("folder", tmp_path)
    assert len(clips) == 4
    (warning,) = caplog.messages
    assert str(tmp_path / "run") in warning
    assert "2 files with an extension that is not a video's (" in warning
    assert ".txt 1" in warning
    assert "1 link to a missing file, such as gone.mp4" in warning
    assert "2 subfolders with 2 videos, such as day2" in warning
    assert "--dataset csv" in warning


def test_special_files_are_left_out_and_never_opened(tmp_path, caplog):
    lay_out(tmp_path, *(f"{label}/{n}.mp4" for label in ("run", "walk") for n in range(2)))
    os.mkfifo(tmp_path / "run/camera.mp4")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "run/z.mp4"))
        assert len(load_dataset("folder", tmp_path)) == 4
    assert "2 special files (FIFO, socket or device), such as camera.mp4" in caplog.text
    os.mkfifo(tmp_path / "groups.csv")
    with pytest.raises(DatasetError, match=r"groups\.csv: is not a file"):
        load_dataset("folder", tmp_path)


def test_names_that_are_not_utf8(tmp_path):
    lay_out(tmp_path, *(f"{label}/{n}.mp4" for label in ("run", "walk") for n in range(2)))
    name = os.fsencode(tmp_path) + b"/run/lat\xe9.mp4"
    Path(os.fsdecode(name)).write_bytes(b"")
    (clip,) = (clip for clip in load_dataset("folder", tmp_path) if "lat" in clip.path)
    assert os.fsencode(clip.path) == name
    assert clip.group == r"run/lat\xe9.mp4"
    (tmp_path / "groups.csv").write_bytes(b"clip,group\nrun/lat\xe9.mp4,cam1\n")
    assert "cam1" in {clip.group for clip in load_dataset("folder", tmp_path)}
    lay_out(tmp_path, os.fsdecode(b"caf\xe9/a.mp4"), os.fsdecode(b"caf\xe9/b.mp4"))
    with pytest.raises(DatasetError, match=r"class 'caf\\\\xe9': its name is not UTF-8"):
        load_dataset("folder", tmp_path)


def test_evaluation_takes_one_class_of_one_clip(tmp_path):
    lay_out(tmp_path, "run/a.mp4")
    settings = DataSettings(folder=str(tmp_path))
    assert [clip.label for clip in load_settings(settings, training=False)] == ["run"]
    with pytest.raises(DatasetError, match="at least two class folders"):
        load_settings(settings)
    lay_out(tmp_path, "walk/a.mp4")
    one = DataSettings(folder=str(tmp_path), classes=["walk"])
    assert [clip.label for clip in load_settings(one, training=False)] == ["walk"]


def test_clips_without_a_group_are_counted(tmp_path, caplog):
    lay_out(tmp_path, "run/a.mp4", "run/b.mp4", "walk/c.mp4", "walk/d.mp4")
    (tmp_path / "groups.csv").write_text("clip,group\nrun/a.mp4,cam1\n")
    load_dataset("folder", tmp_path)
    assert "3 of 4 clips have no group" in caplog.text
