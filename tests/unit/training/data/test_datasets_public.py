"""Public sets of fights and falls, on small data in their layouts."""

import itertools
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.helpers import flat_frames, write_video

from edgehar.errors import DatasetError
from edgehar_training.data.datasets import load_dataset
from edgehar_training.data.datasets.clip import Clip
from edgehar_training.data.datasets.le2i import place_of
from edgehar_training.data.datasets.official import check_official, official_parts
from edgehar_training.data.datasets.rwf2000 import source_video
from edgehar_training.data.datasets.stretches import SHORTEST_S, length_s, spans_of, stretches
from edgehar_training.settings import DataSettings


def load(kind, folder):
    return load_dataset(DataSettings(dataset=kind, folder=str(folder)))


def lay_out(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def told(clips, folder):
    """Clips in few words: name, label, group, times."""
    return [(clip.path.removeprefix(f"{folder}/"), clip.label, clip.group, clip.start_s, clip.end_s) for clip in clips]


@given(st.lists(st.booleans(), max_size=60))
def test_spans_hold_the_frames_that_are_flagged(flags):
    spans = spans_of(flags, 10.0)
    for frame, flag in enumerate(flags):
        middle_s = (frame + 0.5) / 10
        assert any(low <= middle_s <= high for low, high in spans) == flag
    assert all(before[1] < after[0] for before, after in itertools.pairwise(spans))


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 20)), max_size=6), st.integers(100, 130))
def test_stretches_part_a_video_without_overlap(starts, video_s):
    spans = [(float(low), float(low + long)) for low, long in starts]
    clips = stretches(Clip("v", "fight", "v"), spans, "calm", float(video_s))
    if not spans:
        assert clips == [Clip("v", "calm", "v")]
        return
    for second in range(video_s):
        inside = any(low <= second + 0.5 <= high for low, high in spans)
        own = [c for c in clips if c.start_s <= second + 0.5 <= (video_s if c.end_s is None else c.end_s)]
        assert len(own) <= 1
        assert all((clip.label == "fight") == inside for clip in own)
        # Spans are whole seconds here, so that no stretch is too short.
        assert own
    assert all(clip.end_s is None or clip.end_s - clip.start_s >= SHORTEST_S for clip in clips)


def test_the_length_of_a_video_is_in_its_header(tmp_path):
    assert length_s(write_video(tmp_path / "two.mp4", flat_frames([9] * 50))) == pytest.approx(2.0)
    assert length_s(lay_out(tmp_path, "empty.mp4") / "empty.mp4") is None


@pytest.mark.parametrize("inner", ["", "RWF-2000"])
def test_rwf_2000_is_grouped_by_its_videos_and_tested_on_val(tmp_path, inner):
    names = ["train/Fight/a-b_0.avi", "train/Fight/a-b_1.avi", "train/NonFight/x_0.avi"]
    root = lay_out(tmp_path / inner, *names, "val/Fight/q_7.avi", "val/NonFight/x_3.avi")
    clips = load("rwf-2000", tmp_path)
    assert [(one.label, one.group, one.official) for one in clips] == [
        ("Fight", "a-b", ("train",)), ("Fight", "a-b", ("train",)), ("NonFight", "x", ("train",)),
        ("Fight", "q", ("test",)), ("NonFight", "x", ("test",)),
    ]  # fmt: skip
    assert clips[0].path == str(root / names[0])
    # Where its own split has clips of a video on both sides, that is said.
    assert "leaky" in check_official(clips, "rwf-2000", None)[0]
    assert official_parts(clips, "rwf-2000", None) == [([0, 1, 2], [], [3, 4])]
    lay_out(tmp_path / inner, "val/Other/y_0.avi")
    with pytest.raises(DatasetError, match="Fight and NonFight only"):
        load("rwf-2000", tmp_path)


@pytest.mark.parametrize(("stem", "video"), [("-1l5631l3fg_0", "-1l5631l3fg"), ("a_b_12", "a_b"), ("ab", "ab")])
def test_the_video_of_an_rwf_clip(stem, video):
    assert source_video(stem) == video


def test_rlvs_and_hockey_have_no_groups(tmp_path):
    rlvs = lay_out(
        tmp_path / "r/Real Life Violence Dataset", "Violence/V_1.mp4", "Violence/V_2.mp4", "NonViolence/NV_1.mp4"
    )
    assert [(one.label, one.group) for one in load("rlvs", tmp_path / "r")] == [
        ("Violence", "V_1"), ("Violence", "V_2"), ("NonViolence", "NV_1")
    ]  # fmt: skip
    lay_out(rlvs, "Violence/NV_9.mp4")
    with pytest.raises(DatasetError, match=r"NV_9\.mp4"):
        load("rlvs", rlvs)
    hockey = lay_out(tmp_path / "h", "fi1_xvid.avi", "data/no500_xvid.avi")
    assert [(one.label, one.group) for one in load("hockey-fight", hockey)] == [
        ("noFight", "no500_xvid"), ("fight", "fi1_xvid")
    ]  # fmt: skip
    (hockey / "fi1_xvid.avi").unlink()
    with pytest.raises(DatasetError, match="no clip of fight"):
        load("hockey-fight", hockey)


def test_ucf_crime_cuts_test_videos_by_their_times(tmp_path, caplog):
    lay_out(
        tmp_path, "Part-2/Fighting/Fighting002_x264.mp4", "Part-2/Fighting/Fighting003_x264.mp4",
        "Normal/Normal_Videos001_x264.mp4", "Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4",
        "Part-1/Abuse/Abuse001_x264.mp4",
    )  # fmt: skip
    (tmp_path / "Part-2/Fighting/Fighting003_x264.mp4").unlink()
    write_video(tmp_path / "Part-2/Fighting/Fighting003_x264.mp4", flat_frames([9] * 300))
    write(tmp_path / "Anomaly_Train.txt", "Fighting/Fighting002_x264.mp4\nX/Normal_Videos001_x264.mp4\n")
    write(tmp_path / "splits/Anomaly_Test.txt", "Fighting/Fighting003_x264.mp4\nX/Normal_Videos_003_x264.mp4\n")
    times = "Fighting003_x264.mp4  Fighting  60  120  180  240\nAbuse028_x264.mp4  Abuse  165  240  -1  -1\n"
    write(tmp_path / "Temporal_Anomaly_Annotation_for_Testing_Videos.txt", times)
    with caplog.at_level(logging.WARNING):
        clips = load("ucf-crime", tmp_path)
    fight = "Part-2/Fighting/Fighting003_x264.mp4"
    assert told(clips, tmp_path) == [
        ("Normal/Normal_Videos001_x264.mp4", "Normal", "Normal_Videos001_x264", None, None),
        ("Part-2/Fighting/Fighting002_x264.mp4", "Fighting", "Fighting002_x264", None, None),
        (fight, "Normal", "Fighting003_x264", 0.0, 2.0),
        (fight, "Fighting", "Fighting003_x264", 2.0, 4.0),
        (fight, "Normal", "Fighting003_x264", 4.0, 6.0),
        (fight, "Fighting", "Fighting003_x264", 6.0, 8.0),
        (fight, "Normal", "Fighting003_x264", 8.0, None),
        ("Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4", "Normal", "Normal_Videos_003_x264", None, None),
    ]
    assert "1 videos of fights have no times" in caplog.text
    assert official_parts(clips, "ucf-crime", None) == [([0, 1], [], [2, 3, 4, 5, 6, 7])]
    assert check_official(clips, "ucf-crime", None) == []
    write(tmp_path / "Temporal_Anomaly_Annotation_for_Testing_Videos.txt", "Fighting003_x264.mp4 Fighting 60 x\n")
    with pytest.raises(DatasetError, match="line 1"):
        load("ucf-crime", tmp_path)


def test_ubi_fights_are_cut_by_the_flag_of_each_frame(tmp_path):
    root = lay_out(tmp_path / "UBI_FIGHTS", "videos/fight/F_0_1.mp4", "videos/normal/N_0_1.mp4")
    write(root / "annotation/F_0_1.csv", "0\n" * 60 + "1\n" * 90 + "0\n" * 10)
    with pytest.raises(DatasetError, match=r"test_videos\.csv"):
        check_official(load("ubi-fights", tmp_path), "ubi-fights", None)
    write(root / "test_videos.csv", "N_0_1\n")
    clips = load("ubi-fights", tmp_path)
    assert told(clips, root) == [
        ("videos/fight/F_0_1.mp4", "normal", "F_0_1", 0.0, 2.0),
        ("videos/fight/F_0_1.mp4", "fight", "F_0_1", 2.0, 5.0),
        ("videos/normal/N_0_1.mp4", "normal", "N_0_1", None, None),
    ]
    assert [one.official for one in clips] == [("train",), ("train",), ("test",)]
    write(root / "annotation/F_0_1.csv", "fight\n")
    with pytest.raises(DatasetError, match="0 or 1"):
        load("ubi-fights", tmp_path)


def test_ubnormal_is_cut_by_its_tracks_and_grouped_by_scene(tmp_path):
    names = [f"Scene{n}/{kind}_scene_{n}_scenario_1.mp4" for n in (1, 12) for kind in ("abnormal", "normal")]
    lay_out(tmp_path, *names)
    for number in (1, 12):
        stem = f"abnormal_scene_{number}_scenario_1"
        rows = "1.0,30.0,89.0\n3.0,60.0,119.0\n"
        write(tmp_path / f"Scene{number}/{stem}_annotations/{stem}_tracks.txt", rows)
    write(tmp_path / "scripts/abnormal_training_video_names.txt", "abnormal_scene_1_scenario_1\n")
    write(tmp_path / "scripts/normal_training_video_names.txt", "normal_scene_1_scenario_1\n")
    write(tmp_path / "scripts/abnormal_test_video_names.txt", "abnormal_scene_12_scenario_1\n")
    write(tmp_path / "scripts/normal_validation_video_names.txt", "normal_scene_12_scenario_1\n")
    clips = load("ubnormal", tmp_path)
    assert told(clips, tmp_path)[:3] == [
        (names[0], "normal", "scene1", 0.0, 1.0), (names[0], "abnormal", "scene1", 1.0, 4.0),
        (names[1], "normal", "scene1", None, None),
    ]  # fmt: skip
    assert official_parts(clips, "ubnormal", None) == [([0, 1, 2], [5], [3, 4])]
    (tmp_path / "Scene1/abnormal_scene_1_scenario_1_annotations/abnormal_scene_1_scenario_1_tracks.txt").unlink()
    with pytest.raises(DatasetError, match=r"_tracks\.txt: rows"):
        load("ubnormal", tmp_path)


def test_ur_fall_cuts_out_the_fall_and_leaves_out_what_follows(tmp_path):
    lay_out(tmp_path, "fall-01-cam0.mp4", "fall-01-cam1.mp4", "adl-01-cam0.mp4", "fall-01-cam0-d.mp4")
    assert {clip.group for clip in load("ur-fall", tmp_path)} == {"fall-01", "adl-01"}
    rows = [f"fall-01,{frame},{-1 if frame <= 90 else 0 if frame <= 120 else 1},0.5\n" for frame in range(1, 160)]
    write(tmp_path / "urfall-cam0-falls.csv", "".join(rows))
    assert told(load("ur-fall", tmp_path), tmp_path) == [
        ("adl-01-cam0.mp4", "adl", "adl-01", None, None),
        ("fall-01-cam0.mp4", "adl", "fall-01", 0.0, 2.5),
        ("fall-01-cam0.mp4", "fall", "fall-01", 2.5, 4.5),
        ("fall-01-cam1.mp4", "fall", "fall-01", None, None),
    ]
    write(tmp_path / "urfall-cam0-falls.csv", "fall-01,1,standing\n")
    with pytest.raises(DatasetError, match="line 1"):
        load("ur-fall", tmp_path)


def test_le2i_is_cut_by_its_first_two_lines_and_grouped_by_place(tmp_path, caplog):
    for room in ("Coffee_room_01", "Coffee_room_02/Coffee_room_02", "Home_01", "Office"):
        lay_out(tmp_path, f"{room}/Videos/video (1).avi")
    boxes = "".join(f"{frame},1,205,70,259,170\n" for frame in range(1, 251))
    write(tmp_path / "Coffee_room_01/Annotation_files/video (1).txt", f"51\n70\n{boxes}")
    write(tmp_path / "Coffee_room_02/Coffee_room_02/Annotations_files/video (1).txt", f"0\n0\n{boxes}")
    write(tmp_path / "Home_01/Annotation_files/video (1).txt", boxes)
    with caplog.at_level(logging.WARNING):
        clips = load("le2i", tmp_path)
    assert [(one.label, one.group, one.start_s, one.end_s, one.official) for one in clips] == [
        ("adl", "coffee_room", 0.0, 1.5, ("train",)), ("fall", "coffee_room", 1.5, 3.3, ("train",)),
        ("adl", "coffee_room", 3.3, None, ("train",)), ("adl", "coffee_room", None, None, ("train",)),
        ("adl", "home", None, None, ("test",)),
    ]  # fmt: skip
    assert "Office has no annotations" in caplog.text
    assert place_of("Lecture room") == "lecture_room"
    write(tmp_path / "Home_01/Annotation_files/video (1).txt", "many\n0\n")
    with pytest.raises(DatasetError, match="first and last frame"):
        load("le2i", tmp_path)


@pytest.mark.parametrize(
    "kind", ["rwf-2000", "rlvs", "hockey-fight", "ucf-crime", "ubi-fights", "ubnormal", "ur-fall", "le2i"]
)
def test_a_folder_of_another_layout_says_what_is_expected(kind, tmp_path):
    lay_out(tmp_path, "walking/a.mp4", "running/b.mp4")
    with pytest.raises(DatasetError, match=r"holds no|no such folder|is named"):
        load(kind, tmp_path)
