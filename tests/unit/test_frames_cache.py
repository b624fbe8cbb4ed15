"""The cache of small frames: decoded once, whole or not there, new when the file is new."""

import os

import numpy as np
import pytest
from helpers import flat_frames, write_video

from edgehar.errors import DatasetError
from edgehar_training.datasets import Clip
from edgehar_training.frames_cache import FramesCache, default_folder


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "clip.mp4", flat_frames(range(20, 200, 10)), rate_hz=25)


def clip_of(path, **times):
    return Clip(str(path), "a", "g", **times)


def test_all_frames_come_small_with_their_times(tmp_path, video):
    cache = FramesCache(tmp_path / "cache", 60, 60)
    small = cache.load(clip_of(video))
    assert small.frames.shape == (18, 60, 60, 3)
    assert small.frames.dtype == np.uint8
    assert isinstance(small.frames, np.memmap)
    np.testing.assert_allclose(small.times_s, np.arange(18) / 25, atol=1e-6)
    assert (np.diff(small.frames[:, 30, 30, 0].astype(int)) > 0).all()


def test_times_cut_a_clip_out_of_a_video(tmp_path, video):
    cache = FramesCache(tmp_path / "cache", 60, 60)
    small = cache.load(clip_of(video, start_s=0.2, end_s=0.4))
    np.testing.assert_allclose(small.times_s, np.arange(5, 11) / 25, atol=1e-6)
    with pytest.raises(DatasetError, match="no frame from 5"):
        cache.load(clip_of(video, start_s=5.0, end_s=6.0))


def test_a_clip_is_decoded_once_until_it_changes(tmp_path, video):
    cache = FramesCache(tmp_path / "cache", 60, 60)
    cache.fill([clip_of(video), clip_of(video, start_s=0.1)])
    entries = {path: path.stat().st_mtime_ns for path in cache.folder.iterdir()}
    assert len(entries) == 2
    assert cache.fill([clip_of(video)]) == {}
    assert {path: path.stat().st_mtime_ns for path in cache.folder.iterdir()} == entries
    write_video(video, flat_frames([50] * 5))
    os.utime(video, ns=(1, 1))
    assert len(cache.load(clip_of(video)).frames) == 5
    assert len(FramesCache(cache.folder, 30, 40).load(clip_of(video)).frames[0]) == 30


def test_unreadable_clips_are_named_and_leave_nothing(tmp_path, video):
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    cache, seen = FramesCache(tmp_path / "cache", 60, 60), []
    unreadable = cache.fill([clip_of(text), clip_of(video), clip_of(tmp_path / "gone.mp4")], lambda: seen.append(1))
    assert list(unreadable) == [str(text), str(tmp_path / "gone.mp4")]
    assert len(seen) == 3
    assert len(list(cache.folder.glob("*.npy"))) == 1


def test_sources_made_by_code_are_kept_too(tmp_path):
    cache = FramesCache(tmp_path / "cache", 60, 60)
    clip = clip_of("synthetic:walking?duration_s=0.4")
    assert np.array_equal(cache.load(clip).frames, cache.load(clip).frames)
    assert len(cache.load(clip).frames) == 10


def test_the_default_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "edgehar" / "frames"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder().parts[-3:] == (".cache", "edgehar", "frames")
