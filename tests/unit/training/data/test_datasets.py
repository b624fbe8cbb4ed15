"""Layouts of data sets, and what is said about folders that are none."""

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
    with pytest.raises(DatasetError, match="no CSV in UTF-8"):
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
