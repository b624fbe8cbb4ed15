"""Optical flow: what moved in a period of the grid, computed or read, kept beside the frames."""

import cv2
import numpy as np
import pytest
from support.helpers import write_video

from edgehar.errors import ConfigError, DatasetError
from edgehar_training.data.datasets import Clip
from edgehar_training.data.flow import flow_of, quantized_flow
from edgehar_training.data.flow_cache import FlowCache
from edgehar_training.data.flow_folder import flow_from
from edgehar_training.data.frames_cache import FramesCache

SIZE = 60


def moving(x, y, count=6, size=SIZE):
    """A picture that moves by `x`, `y` pixels a frame, uint8 `(count, size, size, 3)`."""
    rough = np.random.default_rng(5).integers(0, 256, (size // 4, size // 4)).astype(np.uint8)
    picture = cv2.resize(rough, (size, size), interpolation=cv2.INTER_CUBIC)
    frames = [
        cv2.warpAffine(
            picture, np.array([[1, 0, x * t], [0, 1, y * t]], np.float32), (size, size), borderMode=cv2.BORDER_REFLECT
        )
        for t in range(count)
    ]
    return np.stack(frames)[..., None].repeat(3, axis=3)


def all_flow(frames, method, rate_hz=12.5, source_hz=25.0):
    times_s = np.arange(len(frames)) / source_hz
    moved, when = zip(*flow_of(frames, times_s, rate_hz, method), strict=True)
    assert list(when) == times_s.tolist()
    return np.stack(moved)


@pytest.mark.parametrize("method", ["dis", "farneback"])
@pytest.mark.parametrize(("x", "y"), [(1.0, 0.0), (0.0, -0.75), (-0.5, 0.5)])
@pytest.mark.parametrize("size", [SIZE, 160])
def test_flow_is_the_motion_in_a_period_as_a_share_of_the_side(method, x, y, size):
    moved = all_flow(moving(x, y, size=size), method)
    assert moved.dtype == np.int8
    assert moved.shape == (6, size, size, 2)
    assert (moved[0] == 0).all()
    middle = moved[3:, size // 4 : -size // 4, size // 4 : -size // 4].mean(axis=(0, 1, 2))
    steps = np.array([x, y]) * 2 * 1024 / size  # two frames of the file are a period of the grid
    np.testing.assert_allclose(middle, steps, atol=0.2 * np.abs(steps).max() + 1)


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_what_stands_still_has_no_flow_and_small_frames_have_some(method):
    assert abs(all_flow(np.repeat(moving(0, 0, 1), 4, axis=0), method).astype(int)).mean() < 0.1
    assert all_flow(moving(1, 0, size=8), method).shape == (6, 8, 8, 2)


def test_flow_is_clipped_at_an_eighth_of_the_side():
    shares = np.array([[[0.5, -0.5], [0.1, 1 / 1024]]], np.float32)
    assert quantized_flow(shares, (1, 2)).tolist() == [[[127, -128], [102, 1]]]


@pytest.fixture
def video(tmp_path):
    folder = tmp_path / "walk"
    folder.mkdir()
    return write_video(folder / "a.mp4", moving(1, 0, 8), rate_hz=25)


@pytest.fixture
def frames(tmp_path):
    return FramesCache(tmp_path / "cache", SIZE, SIZE)


def clip_of(path, **times):
    return Clip(str(path), "walk", "g", **times)


def test_flow_is_computed_once_for_each_method_and_rate(frames, video, monkeypatch):
    kinds = [("dis", 12.5), ("farneback", 12.5), ("dis", 25.0)]
    loaded = []
    for method, rate_hz in kinds:
        cache = FlowCache(frames, method, rate_hz)
        assert not cache.has(clip_of(video))
        cache.fill([clip_of(video)])
        assert cache.has(clip_of(video))
        loaded.append(cache.load(clip_of(video)))
    assert all(flow.shape == (8, SIZE, SIZE, 2) and flow.dtype == np.int8 for flow in loaded)
    assert loaded[0][5:, 20:40, 20:40, 0].mean() > 1.5 * loaded[2][5:, 20:40, 20:40, 0].mean() > 5
    assert len(list(frames.folder.glob("*.flow.npy"))) == 3
    monkeypatch.setattr("edgehar_training.data.flow.flow_of", None)
    assert np.array_equal(FlowCache(frames, "dis", 12.5).load(clip_of(video)), loaded[0])


def test_flow_of_a_stretch_of_video_belongs_to_its_frames(frames, video):
    cache, clip = FlowCache(frames, "dis", 12.5), clip_of(video, start_s=0.1, end_s=0.2)
    assert len(cache.load(clip)) == len(frames.load(clip).frames) == 3
    assert np.array_equal(cache.load(clip), cache.load(clip_of(video))[3:6])


def test_damaged_flow_is_made_again(frames, video, caplog):
    before = FlowCache(frames, "dis", 12.5).load(clip_of(video)).copy()
    (entry,) = frames.folder.glob("*.flow.npy")
    entry.write_bytes(entry.read_bytes()[:1000])
    again = FramesCache(frames.folder, SIZE, SIZE)
    assert np.array_equal(FlowCache(again, "dis", 12.5).load(clip_of(video)), before)
    assert "made again" in caplog.text


def test_several_processes_make_the_same_flow(tmp_path):
    clips = [clip_of(write_video(tmp_path / f"{i}.mp4", moving(0.2 * i, 0.1, 4))) for i in range(16)]
    made = []
    for workers in (1, 2):
        cache = FlowCache(FramesCache(tmp_path / f"cache{workers}", 24, 24), "dis", 12.5)
        assert cache.fill(clips, workers=workers) == {}
        made.append([cache.load(clip).copy() for clip in clips])
    assert all(np.array_equal(one, two) for one, two in zip(*made, strict=True))


def write_flow(folder, levels, size=(40, 80), suffix="jpg"):
    """One pair of pictures for each pair of grey levels."""
    folder.mkdir(parents=True)
    for number, pair in enumerate(levels, 1):
        for axis, level in zip("xy", pair, strict=True):
            cv2.imwrite(str(folder / f"flow_{axis}_{number:05}.{suffix}"), np.full(size, level, np.uint8))
    return folder


def read_flow(folder, frames, crop="stretch", rate_hz=25.0):
    return np.stack([flow for flow, _ in flow_from(folder, np.arange(frames) / 25, rate_hz, (SIZE, SIZE), crop)])


def test_a_folder_of_flow_is_read_as_tsn_writes_it(tmp_path):
    folder = write_flow(tmp_path / "a", [(128, 128), (128 + 51, 128), (128, 128 - 51)])
    flow = read_flow(folder, 4)
    # Picture k is what moved until frame k, counted from 0; 51 levels are 8 pixels, of 80 across and 40 down.
    steps = 51 * 20 / 127.5 * 1024
    assert flow[:, 30, 30].tolist() == [[0, 0], [0, 0], [round(steps / 80), 0], [0, -128]]


def test_a_period_of_the_grid_sums_the_pictures_in_it(tmp_path):
    folder = write_flow(tmp_path / "a", [(138, 128), (148, 128), (128, 128), (158, 128)], size=(80, 80))
    step = 20 / 127.5 * 1024 / 80
    flow = read_flow(folder, 5, rate_hz=12.5)[:, 30, 30, 0]
    assert flow.tolist() == [round(levels * step) for levels in (0, 10, 30, 20, 30)]


def test_pictures_of_flow_are_cropped_as_frames_are(tmp_path):
    folder = write_flow(tmp_path / "a", [(128 + 25, 128)] * 2, suffix="png")
    step = 25 * 20 / 127.5 * 1024
    assert read_flow(folder, 3, "center")[2, 30, 30, 0] == round(step / 40)
    boxed = read_flow(folder, 3, "letterbox")[2, :, 30, 0]
    assert boxed[30] == round(step / 80)
    assert boxed[5] == boxed[-5] == 0


def test_a_folder_of_flow_is_found_by_label_and_clip(frames, video, tmp_path):
    write_flow(tmp_path / "flow/walk/a", [(140, 120)] * 7)
    cache = FlowCache(frames, str(tmp_path / "flow"), 12.5)
    before = cache.load(clip_of(video)).copy()
    assert before[4, 30, 30, 0] > 0 > before[4, 30, 30, 1]
    cv2.imwrite(str(tmp_path / "flow/walk/a/flow_x_00004.jpg"), np.full((40, 80), 60, np.uint8))
    assert cache.load(clip_of(video))[4, 30, 30, 0] < 0


def test_flow_that_does_not_fit_is_named(frames, video, tmp_path):
    with pytest.raises(ConfigError, match=r"--flow tvl1.*dis, farneback"):
        FlowCache(frames, "tvl1", 12.5)
    (tmp_path / "flow").mkdir()
    cache = FlowCache(frames, str(tmp_path / "flow"), 12.5)
    with pytest.raises(DatasetError, match=r"walk/a: holds no flow_x_00001\.jpg"):
        cache.fill([clip_of(video)])
    folder = write_flow(tmp_path / "flow/walk/a", [(128, 128)] * 3)
    with pytest.raises(DatasetError, match="3 frames, and the clip has 8"):
        cache.load(clip_of(video))
    (folder / "flow_y_00002.jpg").unlink()
    with pytest.raises(DatasetError, match="walk/a: holds no"):
        cache.load(clip_of(video))
