"""What `edgehar data check` finds in clips that have something wrong with them."""

import json
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.helpers import assert_one_line_error, flat_frames, run_command, write_video
from support.paths import CLIPS

pytest.importorskip("keras", reason="needs the train extra")

from edgehar_training.data.datasets import Clip, load_dataset
from edgehar_training.data.datasets.check import check_clips
from edgehar_training.data.datasets.probe import Probe, length_s, probe, probe_videos
from edgehar_training.data.datasets.sheet import PER_CLASS, shown_clips
from edgehar_training.settings import DataSettings


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Two classes of three clips, in three groups."""
    folder = tmp_path_factory.mktemp("clean")
    rows = ["clip,label,group"]
    for level, label in ((60, "calm"), (200, "fight")):
        (folder / label).mkdir()
        for number in range(3):
            write_video(folder / label / f"{number}.mp4", flat_frames([level + number] * (10 + number)))
            rows.append(f"{label}/{number}.mp4,{label},cam{number}")
    (folder / "groups.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def broken(clean, tmp_path):
    """The same with a text file, a file cut off, and two copies: one in another group, one of another label."""
    folder = tmp_path / "data"
    shutil.copytree(clean, folder)
    (folder / "fight/text.mp4").write_text("no video")
    write_video(folder / "fight/cut.avi", flat_frames(range(0, 200, 2)), codec="mjpeg", pixel_format="yuvj420p")
    whole = (folder / "fight/cut.avi").read_bytes()
    (folder / "fight/cut.avi").write_bytes(whole[: len(whole) // 2])
    shutil.copyfile(folder / "fight/0.mp4", folder / "fight/copy.mp4")
    shutil.copyfile(folder / "calm/1.mp4", folder / "fight/wrong.mp4")
    return folder


def test_a_clean_set_is_counted(clean):
    done = run_command("edgehar", "data", "check", clean, "--json")
    assert done.returncode == 0, done.stderr
    check = json.loads(done.stdout)
    assert (check["clips"], check["videos"], check["groups"]) == (6, 6, 3)
    assert check["classes"]["fight"] == {
        "clips": 3, "groups": 3, "duration_s": {"min": 0.4, "median": 0.44, "max": 0.48},
    }  # fmt: skip
    assert check["rates_hz"] == {"25": 6}
    assert check["sizes"] == {"64x48": 6}
    assert check["unreadable"] == check["damaged"] == {}
    assert check["duplicates"] == []
    assert [warning for warning in check["warnings"] if "be imprecise" not in warning] == []


def test_everything_wrong_is_named(broken):
    done = run_command("edgehar", "data", "check", broken, "--json")
    assert done.returncode == 0, done.stderr
    check = json.loads(done.stdout)
    assert list(check["unreadable"]) == [str(broken / "fight/text.mp4")]
    assert "not a video" in check["unreadable"][str(broken / "fight/text.mp4")]
    assert list(check["damaged"]) == [str(broken / "fight/cut.avi")]
    assert check["classes"]["fight"]["clips"] == 6
    found = {tuple(Path(path).name for path in one["paths"]) for one in check["duplicates"]}
    assert found == {("0.mp4", "copy.mp4"), ("1.mp4", "wrong.mp4")}
    warnings = "\n".join(check["warnings"])
    assert "leak: 2 files have copies in other groups" in warnings
    assert "1 files have copies of another label" in warnings


def test_the_text_names_them_too_and_the_sheet_goes_on(broken):
    done = run_command("edgehar", "data", "check", broken, "--sheet", broken / "sheet.png")
    assert cv2.imread(str(broken / "sheet.png")) is not None
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["class", "clips", "groups"]
    assert "unreadable  1" in lines
    assert "damaged     1" in lines
    assert "duplicates  2" in lines
    assert any(line.startswith("warning: leak:") for line in lines)


def test_all_frames_are_decoded_on_demand(broken):
    done = run_command("edgehar", "data", "check", broken, "--json", "--all-frames", "--workers", 1)
    check = json.loads(done.stdout)
    assert "of 100 frames can be decoded" in check["damaged"][str(broken / "fight/cut.avi")]
    assert check["classes"]["calm"]["duration_s"] == {"min": 0.4, "median": 0.44, "max": 0.48}


def test_a_single_class_is_counted_and_cannot_be_trained(tmp_path):
    (tmp_path / "clips/calm").mkdir(parents=True)
    write_video(tmp_path / "clips/calm/a.mp4", flat_frames([20] * 10))
    (tmp_path / "clips/calm/deeper").mkdir()
    (tmp_path / "clips/calm/deeper/b.mp4").write_bytes(b"")
    done = run_command("edgehar", "data", "check", tmp_path / "clips")
    assert done.returncode == 1
    assert re.search(r"^calm +1 +1 ", done.stdout, re.MULTILINE)
    assert "left out 1 subfolder with 1 video, such as deeper" in done.stderr
    assert "fewer than two classes have a readable clip" in done.stderr


def test_nothing_usable_fails(tmp_path):
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(2):
            (tmp_path / label / f"{number}.mp4").write_text(f"{label}{number}")
    done = run_command("edgehar", "data", "check", tmp_path)
    assert_one_line_error(done, 1, "fewer than two classes have a readable clip; training needs two")
    assert "class 'a' has no readable clip" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "fragment"),
    [
        (["{}/none"], 1, "no such folder"),
        (["{}", "--dataset", "kht"], 2, "did you mean kth?"),
        (["{}", "--dataset", "kth"], 1, "personNN_calm_dM_uncomp.avi"),
        (["--dataset", "ucf101"], 2, "needs --data DIR"),
        (["{}", "--classes", "calm", "figt"], 2, "did you mean 'fight'?"),
        (["{}", "--workers", "0"], 2, "--workers is 0"),
        (["{}", "--sheet", "sheet.jpg"], 2, "the picture is a PNG"),
    ],
)
def test_bad_input_is_one_line(clean, arguments, code, fragment):
    done = run_command("edgehar", "data", "check", *(word.replace("{}", str(clean)) for word in arguments))
    assert_one_line_error(done, code, fragment)


def test_a_listed_set_is_read_as_a_table(clean, tmp_path):
    done = run_command("edgehar", "data", "list", os.path.relpath(clean), cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    (tmp_path / "clips.csv").write_text(done.stdout)
    listed = load_dataset(DataSettings(dataset="csv", folder=str(tmp_path / "clips.csv")))
    assert listed == load_dataset(DataSettings(folder=str(clean)))


def test_a_listed_set_made_by_code_comes_back(tmp_path):
    done = run_command("edgehar", "data", "list", "--dataset", "synthetic", "--classes", "walking", "boxing")
    (tmp_path / "clips.csv").write_text(done.stdout)
    listed = load_dataset(DataSettings(dataset="csv", folder=str(tmp_path / "clips.csv")))
    assert listed == load_dataset(DataSettings(dataset="synthetic", classes=["walking", "boxing"]))


def test_the_sheet_has_a_row_for_each_class(clean, tmp_path):
    done = run_command("edgehar", "data", "check", clean, "--sheet", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert list(tmp_path.iterdir()) == [tmp_path / "sheet.png"]
    # In the tiles of 160x120 stand the grey levels of the two classes.
    for level in (60, 200):
        rows = np.flatnonzero((abs(sheet.astype(int) - level) <= 4).all(axis=2).sum(axis=1) >= 3 * 150)
        assert 100 <= len(rows) <= 130


def test_the_sheet_shows_clips_of_many_groups():
    clips = [Clip(f"{number}", "a", f"g{number // 4}") for number in range(40)]
    assert len({clip.group for clip in shown_clips(clips)}) == PER_CLASS
    assert len(set(shown_clips(clips[:8]))) == PER_CLASS
    assert shown_clips(clips[:3]) == clips[:3]


def test_clips_of_one_video_in_two_groups_leak():
    clips = [Clip("a.mp4", "x", "g1", 0, 1), Clip("a.mp4", "y", "g2", 1, 2), Clip("b.mp4", "x", "g3")]
    check = check_clips(clips, "csv", {path: Probe(duration_s=1.5) for path in ("a.mp4", "b.mp4")})
    assert any("clips of 1 videos are in several groups, such as a.mp4 in 'g1' and 'g2'" in w for w in check.warnings)
    assert not any("begin after" in warning for warning in check.warnings)
    late = [*clips, Clip("b.mp4", "x", "g3", 1.6, 2)]
    check = check_clips(late, "csv", {path: Probe(duration_s=1.5) for path in ("a.mp4", "b.mp4")})
    assert any("1 clips begin after their video ends" in warning for warning in check.warnings)


def test_official_splits_that_share_groups_and_uneven_classes_are_said():
    clips = [Clip(f"{n}", "ab"[n % 20 == 0], f"g{n % 5}", official=(("train", "test")[n % 2],)) for n in range(60)]
    check = check_clips(clips, "ucf101", {clip.path: Probe() for clip in clips})
    assert any("leak: official split 1 has 5 groups on both sides" in warning for warning in check.warnings)
    assert any("'a' has 57 clips and 'b' 3" in warning for warning in check.warnings)


def test_a_set_without_groups_is_warned_of():
    clips = [Clip(f"{n}", "ab"[n % 2], f"{n}") for n in range(30)]
    check = check_clips(clips, "folder", {clip.path: Probe() for clip in clips})
    assert any("every video is a group of its own" in warning for warning in check.warnings)


def test_a_clip_is_as_long_as_its_times_and_its_video_allow():
    assert length_s(Clip("a", "x", "g", 1.0, 3.0), Probe(duration_s=2.5)) == 1.5
    assert length_s(Clip("a", "x", "g", 1.0), Probe(duration_s=2.5)) == 1.5
    assert length_s(Clip("a", "x", "g", 1.0, 3.0), Probe()) == 2.0
    assert length_s(Clip("a", "x", "g"), Probe()) == 0


def test_sources_made_by_code_are_probed_too():
    found = probe("synthetic:walking?duration_s=0.4")
    assert (found.unreadable, found.sha256, found.frames) == ("", "", 0)
    assert found.rate_hz == pytest.approx(25, abs=0.5)
    assert "unknown" not in probe("synthetic:walking?duration_s=0.4", all_frames=True).unreadable
    assert probe("synthetic:nonsense").unreadable


@pytest.mark.skipif(not (CLIPS / "ut_interaction_set1").is_dir(), reason="needs real clips in EDGEHAR_TEST_DATA")
def test_real_clips_are_whole():
    clips = load_dataset(DataSettings(dataset="ut-interaction", folder=str(CLIPS / "ut_interaction_set1")))
    check = check_clips(clips, "ut-interaction", probe_videos(clips, workers=2))
    assert check.unreadable == check.damaged == {}
    assert check.rates_hz == {"30": 60}
    assert check.duration_s.min > 2
    assert check.duration_s.max < 6.5
