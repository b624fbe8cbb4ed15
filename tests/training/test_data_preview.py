"""edgehar data preview: a picture of what training makes of clips."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.helpers import assert_one_line_error, run_command

pytest.importorskip("sklearn", reason="needs the train extra")

sys.path.insert(0, str(Path(__file__).parent))

from support.moving import write_moving_bars

from edgehar_training.data.datasets import Clip
from edgehar_training.settings import AugmentSettings
from edgehar_training.training.preview import in_turn, words_of

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_moving_bars(tmp_path_factory.mktemp("bars"), clips_per_label=3, groups=3)


def preview(data, out, *arguments):
    cache = out.parent / "cache"
    done = run_command("edgehar", "data", "preview", "--data", data, "--out", out, "--cache", cache, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout, cv2.imread(str(out))


@pytest.mark.parametrize("kind", ["rgb", "motion", "rgb+flow"])
def test_windows_are_drawn_as_the_network_gets_them(data, tmp_path, kind):
    said, sheet = preview(data, tmp_path / "w.png", "--input", kind, "--window", 4, "--rows", 3, "--no-augment")
    assert "3 windows" in said
    assert sheet.shape[1] == 6 + 4 * ((224 if kind == "rgb+flow" else 112) + 6)
    shown = sheet.reshape(-1, 3)
    if kind == "motion":
        assert (abs(shown.astype(int) - 128) <= 3).all(axis=1).mean() > 0.3
    else:
        assert ((shown > 210).all(axis=1) & (shown < 224).all(axis=1)).any()


def test_the_seed_and_the_settings_change_it(data, tmp_path):
    _, first = preview(data, tmp_path / "1.png", "--window", 4, "--input", "rgb", "--noise", 20)
    _, again = preview(data, tmp_path / "2.png", "--window", 4, "--input", "rgb", "--noise", 20)
    _, other = preview(data, tmp_path / "3.png", "--window", 4, "--input", "rgb", "--noise", 20, "--seed", 1)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_is_on_is_said():
    assert words_of(AugmentSettings(on=False)) == "no augmentation"
    assert words_of(AugmentSettings(zoom=0, contrast=0, brightness=0, temporal_crop=0.5)) == (
        "flip, shift 0.1, temporal crop 0.5"
    )


def test_clips_are_taken_from_all_classes_in_turn():
    clips = [Clip(f"{label}{n}", label, "g") for label, count in (("a", 9), ("b", 2), ("c", 5)) for n in range(count)]
    assert [clip.label for clip in in_turn(clips, 4)] == ["a", "b", "c", "a"]
    assert len(set(in_turn(clips, 100))) == len(clips)


def test_bad_input_is_one_line(data, tmp_path):
    command = ("edgehar", "data", "preview", "--data", data)
    assert_one_line_error(run_command(*command, "--out", tmp_path / "w.jpg"), 2, "the picture is a PNG")
    assert_one_line_error(run_command(*command, "--out", tmp_path / "w.png", "--rows", 0), 2, "--rows 0")
    assert_one_line_error(run_command(*command, "--out", tmp_path / "w.png", "--zoom", 3), 2, "--zoom is 3")
    assert_one_line_error(run_command(*command, "--out", tmp_path / "no/w.png", "--window", 4), 1, "No such file")
