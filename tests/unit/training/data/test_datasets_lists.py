"""UCF50, UCF101, HMDB51 and Weizmann: names, official lists, and what is said when they do not fit."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import CLIPS

from edgehar.errors import DatasetError
from edgehar_training.data.datasets import labels_of, load_dataset
from edgehar_training.data.datasets.hmdb51 import source_video
from edgehar_training.settings import DataSettings


def load(kind, folder):
    return load_dataset(DataSettings(dataset=kind, folder=str(folder)))


def lay_out(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def ucf(folder, classes=("Biking", "HandstandPushups"), groups=range(1, 6)):
    spelt = {"HandstandPushups": "HandStandPushups"}
    return lay_out(
        folder, *(f"{c}/v_{spelt.get(c, c)}_g{g:02d}_c{n:02d}.avi" for c in classes for g in groups for n in (1, 2))
    )


def write_ucf_lists(folder, number, tested, classes=("Biking", "HandstandPushups"), groups=range(1, 6)):
    folder.mkdir(exist_ok=True, parents=True)
    names = {
        part: [
            f"{c}/v_{c}_g{g:02d}_c{n:02d}.avi" for c in classes for g in groups for n in (1, 2) if (g in tested) == test
        ]
        for part, test in (("train", False), ("test", True))
    }
    (folder / f"trainlist{number:02d}.txt").write_text("".join(f"{name} 1\n" for name in names["train"]))
    (folder / f"testlist{number:02d}.txt").write_text("".join(f"{name}\n" for name in names["test"]))
    (folder / "classInd.txt").write_text("".join(f"{n} {c}\n" for n, c in enumerate(classes, 1)))
    return folder


def test_ucf50_has_a_fold_for_each_group_number(tmp_path):
    clips = load("ucf50", ucf(tmp_path))
    assert {(clip.group, clip.fold) for clip in clips} == {(f"g{g:02d}", g) for g in range(1, 6)}
    assert len(clips) == 20


@pytest.mark.parametrize("place", ["videos/ucfTrainTestlist", "ucfTrainTestlist", "videos"])
def test_ucf101_lists_are_found_in_the_data_or_beside_it(tmp_path, place):
    ucf(tmp_path / "videos")
    write_ucf_lists(tmp_path / place, 1, tested={1})
    write_ucf_lists(tmp_path / place, 2, tested={2, 3})
    clips = load("ucf101", tmp_path / "videos")
    assert labels_of(clips) == ["Biking", "HandstandPushups"]
    parts = {clip.group: clip.official for clip in clips}
    assert parts["g01"] == ("test", "train")
    assert parts["g03"] == ("train", "test")
    assert parts["g05"] == ("train", "train")


def test_ucf101_is_found_in_the_folder_that_holds_both(tmp_path):
    ucf(tmp_path / "UCF-101")
    write_ucf_lists(tmp_path / "ucfTrainTestlist", 1, tested={1})
    assert {clip.official for clip in load("ucf101", tmp_path)} == {("train",), ("test",)}


def test_ucf101_without_lists_has_no_official_part(tmp_path):
    assert {clip.official for clip in load("ucf101", ucf(tmp_path))} == {()}


def test_lists_and_videos_that_differ_are_counted(tmp_path, caplog):
    ucf(tmp_path / "v", groups=range(1, 5))
    lay_out(tmp_path / "v", "Biking/v_Biking_g09_c01.avi")
    write_ucf_lists(tmp_path / "v/ucfTrainTestlist", 1, tested={1})
    with caplog.at_level(logging.WARNING):
        clips = load("ucf101", tmp_path / "v")
    assert "4 of the 20 clips of official split 1 are not there" in caplog.text
    assert "1 clips are not in official split 1" in caplog.text
    assert {clip.official for clip in clips if clip.group == "g09"} == {("",)}


def test_lists_that_do_not_fit_are_explained(tmp_path):
    ucf(tmp_path)
    lists = write_ucf_lists(tmp_path / "ucfTrainTestlist", 1, tested={1})
    (lists / "classInd.txt").write_text("1 Biking\n")
    with pytest.raises(DatasetError, match="'HandstandPushups', which classInd"):
        load("ucf101", tmp_path)
    (lists / "classInd.txt").write_text("Biking\n")
    with pytest.raises(DatasetError, match="line 1: expected a number and a class"):
        load("ucf101", tmp_path)
    (lists / "classInd.txt").unlink()
    (lists / "trainlist01.txt").write_text("Biking/v_Biking_g01_c01.avi 1\n")
    with pytest.raises(DatasetError, match="is in the training list too"):
        load("ucf101", tmp_path)
    (lists / "trainlist01.txt").write_text("v_Biking_g01_c01.avi\n")
    with pytest.raises(DatasetError, match="line 1: expected <Class>/v_<Class>"):
        load("ucf101", tmp_path)
    (lists / "trainlist01.txt").unlink()
    with pytest.raises(DatasetError, match=r"testlist01.txt is there, but not trainlist01.txt"):
        load("ucf101", tmp_path)


def test_a_split_whose_predecessor_is_missing_is_not_taken_for_it(tmp_path):
    ucf(tmp_path / "ucf")
    write_ucf_lists(tmp_path / "ucf/ucfTrainTestlist", 2, tested={1})
    with pytest.raises(DatasetError, match="UCF101: official split 1 is missing"):
        load("ucf101", tmp_path / "ucf")
    hmdb(tmp_path / "hmdb")
    for number in (1, 3):
        write_hmdb_split(tmp_path / "hmdb", number, {"Film_A": 1})
    with pytest.raises(DatasetError, match="HMDB51: official split 2 is missing"):
        load("hmdb51", tmp_path / "hmdb")


def test_ucf_clips_of_other_names_are_explained(tmp_path):
    lay_out(ucf(tmp_path), "Biking/movie.avi")
    for kind in ("ucf50", "ucf101"):
        with pytest.raises(DatasetError, match=r"v_<Class>_gNN_cNN.avi"):
            load(kind, tmp_path)


@pytest.mark.skipif(not (CLIPS / "ucf101_sample").is_dir(), reason="needs real clips in EDGEHAR_TEST_DATA")
def test_a_real_part_of_ucf101_is_read():
    clips = load("ucf101", CLIPS / "ucf101_sample")
    assert len(clips) == 41
    assert len(labels_of(clips)) == 14
    assert load("ucf50", CLIPS / "ucf101_sample")[0].fold == int(clips[0].group[1:])


HMDB = ("{}_clap_u_nm_np1_fr_med_0.avi", "{}_clap_u_nm_np1_fr_med_1.avi")


def hmdb(folder, sources=("Film_A", "April_09", "#20_Rhythm", "Film_B")):
    names = [n.format(s).replace("clap", action) for action in ("clap", "brush_hair") for s in sources for n in HMDB]
    for name in names:
        lay_out(folder, f"{'clap' if 'clap' in name else 'brush_hair'}/{name}")
    return folder


def write_hmdb_split(folder, number, parts, actions=("clap", "brush_hair")):
    folder.mkdir(exist_ok=True, parents=True)
    for action in actions:
        lines = [f"{n.format(s).replace('clap', action)} {part} \n" for s, part in parts.items() for n in HMDB]
        (folder / f"{action}_test_split{number}.txt").write_text("".join(lines))


@pytest.mark.parametrize("place", ["videos/testTrainMulti_7030_splits", "testTrainMulti_7030_splits", "videos"])
def test_hmdb51_splits_and_source_videos(tmp_path, place):
    hmdb(tmp_path / "videos")
    write_hmdb_split(tmp_path / place, 1, {"Film_A": 1, "April_09": 2, "#20_Rhythm": 0, "Film_B": 1})
    write_hmdb_split(tmp_path / place, 2, {"Film_A": 2, "April_09": 1, "#20_Rhythm": 1, "Film_B": 1})
    clips = load("hmdb51", tmp_path / "videos")
    assert len(clips) == 16
    assert {clip.group: clip.official for clip in clips} == {
        "Film_A": ("train", "test"), "April_09": ("test", "train"), "#20_Rhythm": ("", "train"),
        "Film_B": ("train", "train"),
    }  # fmt: skip


def test_a_split_without_the_file_of_an_action_names_it(tmp_path):
    hmdb(tmp_path)
    write_hmdb_split(tmp_path / "testTrainMulti_7030_splits", 1, {"Film_A": 1}, actions=("clap",))
    with pytest.raises(DatasetError, match=r"no brush_hair_test_split1.txt"):
        load("hmdb51", tmp_path)


@pytest.mark.parametrize("line", ["clip.avi 3", "clip.avi", "1"])
def test_a_line_of_a_split_must_be_a_clip_and_a_part(tmp_path, line):
    hmdb(tmp_path)
    write_hmdb_split(tmp_path, 1, {"Film_A": 1})
    (tmp_path / "clap_test_split1.txt").write_text(line + "\n")
    with pytest.raises(DatasetError, match="line 1: expected a clip and 0, 1 or 2"):
        load("hmdb51", tmp_path)


@given(
    st.text(st.characters(codec="ascii", exclude_characters="\n\r"), min_size=1),
    st.sampled_from(["brush_hair", "clap", "shoot_ball"]),
    st.sampled_from("fhul"),
    st.sampled_from(["cm", "nm"]),
    st.integers(0, 5),
    st.sampled_from(["fr", "ba", "le", "ri"]),
    st.sampled_from(["goo", "med", "bad"]),
    st.integers(0, 40),
)
def test_the_source_is_what_stands_before_action_and_tags(source, action, body, camera, people, view, quality, number):
    stem = f"{source}_{action}_{body}_{camera}_np{people}_{view}_{quality}_{number}"
    assert source_video(stem, action) == source
    assert source_video(source, action) == source_video(source, "other")


def test_weizmann_is_read_flat_and_in_folders(tmp_path):
    flat = lay_out(
        tmp_path / "flat", "daria_walk.avi", "lena_walk1.avi", "lena_walk2.avi", "ido_wave1.avi", "ido_wave2.avi"
    )
    clips = load("weizmann", flat)
    assert [(clip.label, clip.group, clip.fold) for clip in clips] == [
        ("walk", "daria", 1), ("wave1", "ido", 2), ("wave2", "ido", 2), ("walk", "lena", 3), ("walk", "lena", 3),
    ]  # fmt: skip
    folders = lay_out(tmp_path / "folders", "walk/daria_walk.avi", "run/lena_run1.avi", "run/ido_run.avi")
    assert [(clip.label, clip.group) for clip in load("weizmann", folders)] == [
        ("run", "ido"), ("run", "lena"), ("walk", "daria"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["walk/daria_run.avi", "walk/daria_dance.avi", "walk/walk.avi", "walk/_walk.avi"])
def test_weizmann_clips_of_other_names_are_explained(tmp_path, name):
    lay_out(tmp_path, "walk/daria_walk.avi", "run/lena_run1.avi", name)
    with pytest.raises(DatasetError, match=r"<person>_<action>.avi"):
        load("weizmann", tmp_path)


def test_weizmann_with_one_action_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="all clips are of one action, walk"):
        load("weizmann", lay_out(tmp_path, "daria_walk.avi", "lena_walk.avi"))
