"""The cache of small frames: decoded once, known by content, whole or made again."""

import logging
import os
import shutil
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest
from support.helpers import flat_frames, write_video

from edgehar import FrameRing, open_source
from edgehar.errors import DatasetError, SourceError
from edgehar_training.data import filling
from edgehar_training.data.datasets import Clip
from edgehar_training.data.frames_cache import FramesCache, default_folder


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "clip.mp4", flat_frames(range(20, 200, 10)), rate_hz=25)


@pytest.fixture
def cache(tmp_path):
    return FramesCache(tmp_path / "cache", 60, 60)


def clip_of(path, **times):
    return Clip(str(path), "a", "g", **times)


def shards_of(cache):
    return {path: path.stat().st_mtime_ns for path in cache.folder.glob("*.npy")}


def test_all_frames_come_small_with_their_times(cache, video):
    small = cache.load(clip_of(video))
    assert small.frames.shape == (18, 60, 60, 3)
    assert small.frames.dtype == np.uint8
    assert isinstance(small.frames, np.memmap)
    np.testing.assert_allclose(small.times_s, np.arange(18) / 25, atol=1e-6)
    assert (np.diff(small.frames[:, 30, 30, 0].astype(int)) > 0).all()


@pytest.mark.parametrize("crop", ["stretch", "center", "letterbox"])
def test_frames_are_those_of_the_device(tmp_path, crop):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 48, 96, 3), np.uint8)
    path = write_video(tmp_path / "clip.mp4", pixels)
    small = FramesCache(tmp_path / "cache", 24, 24, crop).load(clip_of(path))
    ring = FrameRing(4, 24, 24, dtype="uint8", crop=crop)
    with open_source(str(path)) as source:
        for frame in source:
            ring.push(frame)
    assert np.array_equal(small.frames, ring.window())


# The first 8 numbers of a display matrix in 16.16 fixed point (ISO/IEC 14496-12, 6.2.2), for a picture of 96x48.
ONE = 1 << 16
MATRICES = {
    "mirrored": (-ONE, 0, 0, 0, ONE, 0, 96 * ONE, 0),
    "upside down": (ONE, 0, 0, 0, -ONE, 0, 0, 48 * ONE),
    "turned": (0, ONE, 0, -ONE, 0, 0, 48 * ONE, 0),
    "zero": (0,) * 8,
}


@pytest.mark.parametrize("name", MATRICES)
def test_training_turns_pictures_as_the_device_does(tmp_path, name):
    """Phones store pictures turned or mirrored, with a display matrix: training must see what the device sees."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 48, 96, 3), np.uint8)
    pixels[:, :24, :48] = 255
    path = write_video(tmp_path / "clip.mp4", pixels)
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    content[at : at + 36] = struct.pack(">9i", *MATRICES[name], 0 if name == "zero" else 1 << 30)
    path.write_bytes(content)
    small = FramesCache(tmp_path / "cache", 24, 24).load(clip_of(path))
    ring = FrameRing(4, 24, 24, dtype="uint8")
    with open_source(str(path)) as source:
        for frame in source:
            ring.push(frame)
    assert np.array_equal(small.frames, ring.window())


def test_each_crop_has_its_own_entry(tmp_path, video):
    found = [FramesCache(tmp_path / "cache", 24, 24, crop).load(clip_of(video)) for crop in ("stretch", "letterbox")]
    assert found[0].frames[0].min() > 10
    assert found[1].frames[0].min() == 0


def test_times_cut_a_clip_out_of_a_video(cache, video):
    small = cache.load(clip_of(video, start_s=0.2, end_s=0.4))
    np.testing.assert_allclose(small.times_s, np.arange(5, 11) / 25, atol=1e-6)
    with pytest.raises(DatasetError, match="no frame from 5"):
        cache.load(clip_of(video, start_s=5.0, end_s=6.0))


def test_a_clip_is_decoded_once_until_it_changes(cache, video):
    cache.fill([clip_of(video), clip_of(video, start_s=0.1)])
    entries = shards_of(cache)
    assert len(entries) == 1
    assert cache.fill([clip_of(video)]) == {}
    assert shards_of(cache) == entries
    write_video(video, flat_frames([50] * 5))
    os.utime(video, ns=(1, 1))
    assert len(cache.load(clip_of(video)).frames) == 5
    assert len(FramesCache(cache.folder, 30, 40).load(clip_of(video)).frames[0]) == 30


def test_a_copied_or_moved_clip_is_not_decoded_again(cache, video, tmp_path):
    cache.fill([clip_of(video)])
    entries = shards_of(cache)
    copy = shutil.copy(video, tmp_path / "copy.mp4")
    moved = video.rename(tmp_path / "moved.mp4")
    os.utime(moved, ns=(7, 7))
    again = FramesCache(cache.folder, 60, 60)
    assert again.fill([clip_of(copy), clip_of(moved)]) == {}
    assert len(again.load(clip_of(copy)).frames) == len(again.load(clip_of(moved)).frames) == 18
    assert shards_of(cache) == entries


def test_a_list_of_contents_that_is_torn_only_costs_reading(cache, video):
    cache.load(clip_of(video))
    entries = shards_of(cache)
    listed = cache.folder / "contents.txt"
    listed.write_bytes(b"\xff torn\n" + listed.read_bytes()[:50])
    FramesCache(cache.folder, 60, 60).load(clip_of(video))
    assert shards_of(cache) == entries


def test_unreadable_clips_are_named_and_leave_nothing(cache, tmp_path, video):
    text, empty = tmp_path / "text.mp4", write_video(tmp_path / "empty.mp4", [])
    text.write_text("not a video")
    seen = []
    clips = [clip_of(path) for path in (text, video, tmp_path / "gone.mp4", empty)]
    unreadable = cache.fill(clips, lambda: seen.append(1))
    assert list(unreadable) == [str(text), str(tmp_path / "gone.mp4"), str(empty)]
    assert len(seen) == 4
    assert sorted(path.suffix for path in cache.folder.iterdir()) == [".npy", ".txt"]
    with pytest.raises(SourceError, match=r"gone\.mp4"):
        cache.load(clips[2])


def test_sources_made_by_code_are_kept_too(cache):
    clip = clip_of("synthetic:walking?duration_s=0.4")
    assert np.array_equal(cache.load(clip).frames, cache.load(clip).frames)
    assert len(cache.load(clip).frames) == 10
    assert cache.has(clip)


def test_folders_of_pictures_are_known_by_what_is_in_them(cache, tmp_path):
    import cv2

    folder = tmp_path / "shots"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((30, 40, 3), 50 * number, np.uint8))
    clip = clip_of(folder)
    assert len(cache.load(clip).frames) == 3
    assert np.array_equal(cache.load(clip_of(folder / "*.png")).frames, cache.load(clip).frames)
    assert len(shards_of(cache)) == 1
    cv2.imwrite(str(folder / "3.png"), np.zeros((30, 40, 3), np.uint8))
    assert len(FramesCache(cache.folder, 60, 60).load(clip).frames) == 4


@pytest.mark.parametrize("damage", ["cut", "altered", "emptied"])
def test_a_damaged_entry_is_made_again_once_with_a_warning(cache, video, caplog, damage):
    before = cache.load(clip_of(video)).frames.copy()
    (entry,) = shards_of(cache)
    content = bytearray(entry.read_bytes())
    content[5000] ^= 1
    entry.write_bytes({"cut": content[:3000], "altered": content, "emptied": b""}[damage])
    again = FramesCache(cache.folder, 60, 60)
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(again.load(clip_of(video)).frames, before)
        assert np.array_equal(again.load(clip_of(video)).frames, before)
    assert [record.message.count(str(video)) for record in caplog.records] == [1]
    assert "made again" in caplog.text


def test_a_shard_is_read_whole_once_for_each_start_of_the_machine(cache, video, monkeypatch):
    from edgehar_training.data import frames_cache

    read, verified = frames_cache.read_shard, []
    monkeypatch.setattr(
        frames_cache, "read_shard", lambda path, verify: verified.append(verify) or read(path, verify=verify)
    )
    for _ in range(2):
        FramesCache(cache.folder, 60, 60).load(clip_of(video))
        cache.load(clip_of(video))
    monkeypatch.setattr(frames_cache, "_boot", lambda: "another")
    restarted = FramesCache(cache.folder, 60, 60)
    restarted.load(clip_of(video))
    assert verified == [True, False, False, False, True]
    restarted.fill([clip_of(video)])
    assert [path.name for path in cache.folder.glob("verified-*")] == ["verified-another.txt"]


def test_filling_makes_a_cut_entry_again(cache, video):
    cache.fill([clip_of(video)])
    (entry,) = shards_of(cache)
    entry.write_bytes(entry.read_bytes()[:-1])
    assert not cache.has(clip_of(video))
    cache.fill([clip_of(video)])
    assert len(FramesCache(cache.folder, 60, 60).load(clip_of(video)).frames) == 18


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, video):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        FramesCache(tmp_path / "file", 60, 60).fill([clip_of(video)])


def many(folder, count=20):
    folder.mkdir()
    paths = [write_video(folder / f"{i:02}.mp4", flat_frames(range(2 * i, 2 * i + 12))) for i in range(count)]
    return [clip_of(path) for path in paths]


def test_several_processes_make_the_same(tmp_path, caplog, capfd):
    clips = many(tmp_path / "clips")
    broken = tmp_path / "clips/07.mp4"
    broken.write_bytes(broken.read_bytes()[:900])
    one, two = (FramesCache(tmp_path / name, 24, 24) for name in ("one", "two"))
    seen = []
    with caplog.at_level(logging.INFO):
        unreadable = two.fill(clips, lambda: seen.append(1), workers=2)
    assert unreadable == one.fill(clips, workers=1)
    assert list(unreadable) == [str(broken)]
    assert len(seen) == 20
    assert "clips/s" in caplog.text
    assert capfd.readouterr().err == ""
    content = [{path.name: path.read_bytes() for path in shards_of(cache)} for cache in (one, two)]
    assert len(content[0]) == 19
    assert content[0] == content[1]


def test_a_decoder_that_crashes_costs_one_clip(tmp_path, monkeypatch):
    clips = many(tmp_path / "clips", 16)
    killer = tmp_path / "killer.py"
    killer.write_text(
        "import os\nfrom edgehar_training.data import fill_worker\n"
        "from edgehar_training.data.frames_cache import FramesCache\n"
        "make = FramesCache.make_missing\n"
        "def crash(self, clip):\n    if clip.path.endswith('05.mp4'): os.abort()\n    return make(self, clip)\n"
        "FramesCache.make_missing = crash\nfill_worker.main()\n"
    )
    popen = subprocess.Popen

    def start(command, **options):
        return popen([command[0], str(killer), command[-1]], **options)

    monkeypatch.setattr(filling.subprocess, "Popen", start)
    cache = FramesCache(tmp_path / "cache", 24, 24)
    unreadable = cache.fill(clips, workers=2)
    assert list(unreadable) == [clips[5].path]
    assert "crashed" in unreadable[clips[5].path]
    assert len(shards_of(cache)) == 15


FILL = """
import sys
from pathlib import Path
from edgehar_training.data.datasets import Clip
from edgehar_training.data.frames_cache import FramesCache
clips = [Clip(f"synthetic:walking?subject={i}&duration_s=4", "a", "g") for i in range(40)]
try:
    FramesCache(Path(sys.argv[1]), 60, 60).fill(clips, lambda: print("clip", flush=True), workers=int(sys.argv[2]))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_filling_leaves_whole_entries_and_goes_on(tmp_path, how, workers):
    folder = tmp_path / "cache"
    with subprocess.Popen(
        [sys.executable, "-c", FILL, str(folder), str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for _ in range(3):
            assert process.stdout.readline() == "clip\n"
        process.send_signal(how)
        # Workers hold the same standard error, so this waits for them too: one whose program was killed still ends its
        # clip.
        rest, _ = process.communicate(timeout=120)
    assert ("interrupted" in rest) == (how == signal.SIGINT)
    cache = FramesCache(folder, 60, 60)
    clips = [clip_of(f"synthetic:walking?subject={i}&duration_s=4") for i in range(40)]
    there = [clip for clip in clips if cache.has(clip)]
    assert 3 <= len(there) < 40
    assert len(shards_of(cache)) == len(there) + len(list(folder.glob("*.tmp*")))
    if how == signal.SIGINT:
        assert not list(folder.glob("*.tmp*"))
    kept = shards_of(cache)
    cache.fill([*there, clip_of("synthetic:walking?subject=90&duration_s=0.4")])
    assert kept.items() <= shards_of(cache).items()
    assert all(len(cache.load(clip).frames) == 100 for clip in there)


def test_what_a_killed_program_left_is_cleared_in_time(cache, video):
    cache.folder.mkdir()
    old, new = (cache.folder / f"{name}.tmp1.npy" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    cache.fill([clip_of(video)])
    assert not old.exists()
    assert new.exists()


def test_the_default_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "edgehar" / "frames"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder().parts[-3:] == (".cache", "edgehar", "frames")
