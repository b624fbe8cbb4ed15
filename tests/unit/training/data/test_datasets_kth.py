"""KTH: names, the file of frame ranges with its oddities, and the split by person."""

import logging
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.helpers import flat_frames, write_video
from support.paths import CLIPS

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.data.datasets import labels_of, load_dataset
from edgehar_training.data.datasets.kth import official_part, read_sequences
from edgehar_training.data.frames_cache import FramesCache
from edgehar_training.settings import DataSettings

REAL = CLIPS / "kth_like"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs real clips in EDGEHAR_TEST_DATA or ../shared/data")


def load(folder, **settings):
    return load_dataset(DataSettings(dataset="kth", folder=str(folder), **settings))


def lay_out(folder, persons, actions=("boxing", "walking"), takes=(1,)):
    for action in actions:
        (folder / action).mkdir(parents=True, exist_ok=True)
        for person in persons:
            for take in takes:
                (folder / action / f"person{person:02d}_{action}_d{take}_uncomp.avi").write_bytes(b"")
    return folder


def test_every_stretch_is_a_clip_of_its_person(tmp_path):
    lay_out(tmp_path, [1, 2, 11])
    (tmp_path / "00sequences.txt").write_bytes(
        b"person01_boxing_d1\t\tframes\t1-95, 96-185\r\nperson02_boxing_d1    \tframes\t1-10\r\n\r\n"
        b"person11_boxing_d1\t\tframes\t5-6\r\nperson01_walking_d1\t*missing*\r\n"
        b"person02_walking_d1 frames 1-20,30-40,21-29\r\nperson11_walking_d1\tframes\t1-2\r\n"
    )
    clips = load(tmp_path)
    assert labels_of(clips) == ["boxing", "walking"]
    of = {}
    for clip in clips:
        of.setdefault(Path(clip.path).name[:19].rstrip("_u"), []).append((clip.start_s, clip.end_s))
    assert of["person01_boxing_d1"] == [(0.0, 94.5 / 25), (94.5 / 25, 184.5 / 25)]
    assert len(of["person02_walking_d1"]) == 3
    assert of["person01_walking_d1"] == [(None, None)]
    assert {(clip.group, clip.official) for clip in clips} == {
        ("person01", ("val",)), ("person02", ("test",)), ("person11", ("train",)),
    }  # fmt: skip


def test_the_official_parts_have_8_8_and_9_persons():
    parts = {part: [p for p in range(1, 26) if official_part(p) == part] for part in ("train", "val", "test")}
    assert parts["train"] == [11, 12, 13, 14, 15, 16, 17, 18]
    assert parts["val"] == [1, 4, 19, 20, 21, 23, 24, 25]
    assert parts["test"] == [2, 3, 5, 6, 7, 8, 9, 10, 22]


def test_without_the_file_clips_are_whole_videos_and_that_is_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        clips = load(lay_out(tmp_path, [1, 11]))
    assert [(clip.start_s, clip.end_s) for clip in clips] == [(None, None)] * 4
    assert "no 00sequences.txt" in caplog.text


def test_a_video_without_a_line_is_used_whole_and_named(tmp_path, caplog):
    lay_out(tmp_path, [1, 11])
    (tmp_path / "00sequences.txt").write_text("person01_boxing_d1 frames 1-2\n")
    with caplog.at_level(logging.WARNING):
        assert len(load(tmp_path)) == 4
    assert "3 videos" in caplog.text
    assert "person11_boxing_d1_uncomp.avi" in caplog.text


def test_a_stretch_holds_exactly_its_frames(tmp_path):
    folder = lay_out(tmp_path / "kth", [1])
    for path in folder.rglob("*.avi"):
        write_video(path, flat_frames(range(10, 210, 10)))
    (folder / "00sequences.txt").write_text(
        "person01_boxing_d1 frames 1-5, 6-20\nperson01_walking_d1 frames 3-3, 20-20\n"
    )
    cache = FramesCache(tmp_path / "cache", 16, 16)
    small = [cache.load(clip) for clip in load(folder)]
    assert [len(one.frames) for one in small] == [5, 15, 1, 1]
    assert [round(float(one.frames[0].mean()), -1) for one in small] == [10, 60, 30, 200]


@pytest.mark.parametrize(
    ("line", "fragment"),
    [
        ("person01_boxing_d1 frames 1-", "line 2"),
        ("person01_boxing_d1 frames 9-3", "9-3"),
        ("person01_boxing_d1 frames 0-3", "0-3"),
        ("person01_boxing_d1", "expected a video and frames"),
    ],
)
def test_a_line_that_cannot_be_understood_is_shown(tmp_path, line, fragment):
    path = tmp_path / "00sequences.txt"
    path.write_text(f"person02_boxing_d1 frames 1-2\n{line}\n")
    with pytest.raises(DatasetError, match=fragment):
        read_sequences(path)


@given(
    st.dictionaries(
        st.builds(
            "person{:02d}_{}_d{}".format, st.integers(1, 25), st.sampled_from(["boxing", "running"]), st.integers(1, 4)
        ),
        st.lists(st.tuples(st.integers(1, 2000), st.integers(0, 500)), min_size=1, max_size=5),
        min_size=1,
    ),
    st.sampled_from(["\t\t", " ", "    \t"]),
    st.sampled_from([", ", ",", " , "]),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_ranges_are_read_back_whatever_the_spaces(tmp_path_factory, sequences, gap, comma, end):
    path = tmp_path_factory.mktemp("kth") / "00sequences.txt"
    wanted = {video: [(first, first + more) for first, more in ranges] for video, ranges in sequences.items()}
    lines = [f"{video}{gap}frames\t{comma.join(f'{a}-{b}' for a, b in ranges)}" for video, ranges in wanted.items()]
    path.write_bytes(("KTH, frames with somebody in view" + end + end.join(lines) + end).encode())
    assert read_sequences(path) == wanted


@pytest.mark.parametrize(
    ("name", "fragments"),
    [
        ("boxing/running.avi", ["personNN_boxing_dM_uncomp.avi", "running.avi"]),
        ("boxing/person01_walking_d1_uncomp.avi", ["personNN_boxing_dM_uncomp.avi"]),
        ("boxing/person26_boxing_d1_uncomp.avi", ["person26"]),
        ("dancing/person01_dancing_d1_uncomp.avi", ["no action of KTH", "handwaving"]),
    ],
)
def test_another_layout_is_explained(tmp_path, name, fragments):
    lay_out(tmp_path, [1])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        load(tmp_path)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_classes_can_be_chosen(tmp_path):
    lay_out(tmp_path, [1, 2], actions=("boxing", "running", "walking"))
    assert labels_of(load(tmp_path, classes=["walking", "boxing"])) == ["boxing", "walking"]
    with pytest.raises(ConfigError, match=r"'walkin'.*did you mean 'walking'"):
        load(tmp_path, classes=["walkin", "boxing"])
    with pytest.raises(ConfigError, match="at least two"):
        load(tmp_path, classes=["walking"])


@real
def test_the_real_file_names_all_of_kth():
    sequences = read_sequences(REAL / "00sequences.txt")
    assert len(sequences) == 600
    assert [video for video, stretches in sequences.items() if not stretches] == ["person13_handclapping_d3"]
    assert sum(map(len, sequences.values())) == 2391
    assert sequences["person07_running_d4"] == [(1, 52), (68, 115), (310, 358), (224, 274)]


@real
def test_real_clips_are_cut_into_their_stretches(tmp_path):
    for action in ("running", "walking"):
        (tmp_path / "kth" / action).mkdir(parents=True)
        for person in (1, 2):
            target = tmp_path / "kth" / action / f"person{person:02d}_{action}_d1_uncomp.avi"
            shutil.copyfile(REAL / action / f"{action}.avi", target)
    shutil.copyfile(REAL / "00sequences.txt", tmp_path / "kth/00sequences.txt")
    clips = load(tmp_path / "kth")
    assert len(clips) == 16
    cache = FramesCache(tmp_path / "cache", 16, 16)
    assert len(cache.load(clips[0]).frames) == 35
