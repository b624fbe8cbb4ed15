"""Files in a loop, files at the pace of a camera, and raw frames from another program."""

import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from support.helpers import flat_frames, write_video

from edgehar import ConfigError, FrameRing, PixelFormat, SourceError, YuvMatrix, open_source
from edgehar.capture.mailbox import Closed
from edgehar.capture.reader import Capture
from edgehar.records import StreamState
from edgehar.sources.options import ReplayOptions
from edgehar.sources.replay import ReplaySource
from edgehar.sources.stdin import Layout, StdinSource


@pytest.fixture
def clip(tmp_path):
    """A video of 10 frames at 25 Hz, of growing brightness."""
    return write_video(tmp_path / "clip.mp4", flat_frames(range(20, 220, 20)))


def level(frame):
    return float(frame.data[0].mean())


def take(source, count):
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == count:
            return frames
    return frames


def test_a_file_in_a_loop_begins_again_and_its_time_goes_on(clip):
    with open_source(clip, loop=True) as source:
        frames = take(source, 35)
    assert not source.live
    assert [frame.sequence for frame in frames] == list(range(35))
    assert [frame.captured_s for frame in frames] == pytest.approx(np.arange(35) / 25, abs=2e-3)
    assert [level(frame) for frame in frames[10:]] == [level(frame) for frame in frames[:25]]


def test_images_in_a_loop(tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    with open_source(tmp_path, loop=True, rate_hz=10) as source:
        assert [frame.captured_s for frame in take(source, 7)] == pytest.approx(np.arange(7) / 10)
    with open_source(tmp_path / "0.png", loop=True, rate_hz=10) as source:
        assert [frame.captured_s for frame in take(source, 7)] == pytest.approx(np.arange(7) / 10)


def test_a_file_that_is_gone_when_it_is_to_begin_again(clip):
    with open_source(clip, loop=True) as source:
        frames = iter(source)
        next(frames)
        clip.unlink()
        with pytest.raises(SourceError, match="no such file"):
            list(frames)


def test_a_file_in_real_time_is_like_a_camera(clip):
    with open_source(clip, realtime=True) as source:
        assert source.live
        assert not source.reopens
        started_s = time.monotonic()
        frames = list(source)
    assert len(frames) == 10
    for frame in frames:
        assert started_s <= frame.captured_s <= frame.arrived_s <= time.monotonic()
    assert np.diff([frame.captured_s for frame in frames]) == pytest.approx([1 / 25] * 9, abs=2e-3)


def test_frames_in_real_time_come_when_they_are_due_and_a_late_reader_sets_the_clock(clip):
    now_s, waits_s = 100.0, []

    def wait(duration_s):
        nonlocal now_s
        waits_s.append(duration_s)
        now_s += duration_s
        return False

    options = ReplayOptions(realtime=True)
    source = ReplaySource(lambda: open_source(clip), options, period_s=0.04, clock=lambda: now_s, wait=wait)
    frames = iter(source)
    assert [next(frames).captured_s for _ in range(3)] == pytest.approx([100, 100.04, 100.08], abs=2e-3)
    assert waits_s == pytest.approx([0, 0.04, 0.04], abs=2e-3)
    now_s += 0.5
    assert next(frames).captured_s == pytest.approx(100.12, abs=2e-3)
    now_s += 2
    late = next(frames)
    assert late.captured_s == pytest.approx(102.58, abs=2e-3)
    assert late.arrived_s == pytest.approx(102.58, abs=2e-3)
    assert next(frames).captured_s == pytest.approx(102.62, abs=2e-3)


def test_a_capture_of_a_file_in_real_time_ends_with_it(clip):
    capture = Capture(lambda: open_source(clip, realtime=True))
    capture.start()
    got = []
    while True:
        try:
            got.append(capture.frames.get(5))
        except Closed:
            break
    assert len(got) >= 5
    assert {epoch for epoch, _ in got} == {0}
    assert capture.error is None
    capture.stop()


def test_a_file_in_real_time_can_be_closed_at_once(tmp_path):
    path = write_video(tmp_path / "slow.mkv", flat_frames([1, 2, 3]), times_s=[0, 60, 120])
    capture = Capture(lambda: open_source(path, realtime=True, loop=True))
    capture.start()
    capture.frames.get(5)
    capture.stop(30)
    assert capture.state is StreamState.STOPPED


def test_what_is_no_file_has_no_loop(tmp_path):
    with pytest.raises(ConfigError, match="loop is not an option of this kind of source"):
        open_source("synthetic:walking", loop=True)


def test_a_file_that_shrinks_while_it_is_read(tmp_path, caplog):
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(200)]
    path = write_video(tmp_path / "cut.avi", pictures)
    capture = Capture(lambda: open_source(path))
    capture.start()
    for _ in range(10):
        capture.frames.get(5)
    os.truncate(path, path.stat().st_size // 2)
    count = 10
    while True:
        try:
            capture.frames.get(5)
        except Closed:
            break
        count += 1
    assert capture.error is None
    assert 50 < count < 190
    assert "damaged or truncated" in caplog.text
    capture.stop()


class Pipe:
    """A pipe that raw frames are read from, and what was written to it."""

    def __init__(self):
        self.out, self.into = os.pipe()

    def write(self, data):
        os.write(self.into, data)

    def end(self):
        os.close(self.into)


@pytest.fixture
def pipe():
    made = Pipe()
    yield made
    os.close(made.out)


@pytest.mark.parametrize("layout", list(PixelFormat))
def test_raw_frames_of_every_format(pipe, layout):
    source = StdinSource(Layout(width=12, height=8, format=layout, rate_hz=5), descriptor=pipe.out)
    planar = {PixelFormat.GRAY8: 96, PixelFormat.I420: 144, PixelFormat.NV12: 144, PixelFormat.YUYV: 192}
    count = planar.get(layout, 96 * (4 if layout in (PixelFormat.BGRA32, PixelFormat.RGBA32) else 3))
    sent = bytes(place % 251 for place in range(2 * count))
    pipe.write(sent[:7])
    pipe.write(sent[7:])
    pipe.end()
    frames = list(source)
    assert [frame.captured_s for frame in frames] == [0.0, 0.2]
    assert [(frame.format, frame.height, frame.width) for frame in frames] == [(layout, 8, 12)] * 2
    planes = frames[1].data if isinstance(frames[1].data, tuple) else (frames[1].data,)
    assert b"".join(plane.tobytes() for plane in planes) == sent[count:]
    FrameRing(1, 2, 3, dtype="uint8").push(frames[0])


def test_raw_frames_that_end_in_the_middle_of_one(pipe, caplog):
    source = StdinSource(Layout(width=8, height=8), descriptor=pipe.out)
    pipe.write(bytes(192 + 5))
    pipe.end()
    assert len(list(source)) == 1
    assert caplog.messages == ["stdin: ended after 5 of the 192 bytes of a frame; check its size"]


def test_live_raw_frames_are_captured_when_they_come(pipe):
    source = StdinSource(Layout(width=8, height=8, live=True), descriptor=pipe.out)
    assert source.live
    pipe.write(bytes(192))
    before_s = time.monotonic()
    assert before_s <= next(iter(source)).captured_s <= time.monotonic()
    pipe.end()


def test_standard_input_of_a_real_program():
    code = """
from edgehar import open_source
for frame in open_source("stdin:?width=16&height=8&format=i420&rate_hz=10&matrix=bt709&full_range=1"):
    print(frame.captured_s, frame.height, frame.width, frame.matrix.value, frame.full_range)
"""
    done = subprocess.run([sys.executable, "-c", code], input=bytes(384), capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == ["0.0 8 16 bt709 True", "0.1 8 16 bt709 True"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("stdin:", "missing parameter `width`"),
        ("stdin:?width=8", "missing parameter `height`"),
        ("stdin:?width=7&height=8", "`width`"),
        ("stdin:?width=8&height=four", "`height`"),
        ("stdin:?width=8&height=8&format=jpeg", "`format`"),
        ("stdin:?width=8&height=8&depth=8", "unknown parameter `depth`"),
        ("stdin:?width=9&height=8&format=yuyv", "must be even"),
        ("stdin:?width=8&height=8&rate_hz=0", "`rate_hz`"),
    ],
)
def test_addresses_of_standard_input_that_make_no_sense(uri, message):
    with pytest.raises(ConfigError, match=message):
        open_source(uri)


def test_matrix_and_range_are_those_of_small_video_unless_told(pipe):
    pipe.end()
    layout = Layout(width=8, height=8)
    assert (layout.matrix, layout.full_range) == (YuvMatrix.BT601, False)
