"""Annotated videos: what is drawn, and that a file is there whole or not at all."""

import subprocess
import sys

import av
import numpy as np
import pytest

from edgehar import Frame, PixelFormat, SinkError
from edgehar.annotate import AnnotatedVideo, annotate
from edgehar.records import Prediction, TimingMs, Window


def a_frame(number=0, shape=(120, 160, 3), pixel_format=PixelFormat.BGR24, rate_hz=25.0):
    return Frame(np.full(shape, 60, np.uint8), pixel_format, number / rate_hz, 0.0, number)


def an_answer(scores):
    label = max(scores, key=scores.get)
    timing = TimingMs(shrink=0.1, encode=0.1, classify=0.1)
    return Prediction(
        seq=0, time="2026-11-21T05:40:00.123Z", source="test", model="tiny", label=label, score=scores[label],
        scores=scores, window=Window(20, 0.0, 1.52), frame_age_ms=1.0, timing_ms=timing, dropped=0, rate_ok=True,
    )  # fmt: skip


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        return stream.codec_context.name, [float(frame.time) for frame in frames], frames[-1].to_ndarray(format="bgr24")


def test_a_video_holds_every_frame_at_its_time(tmp_path):
    path = tmp_path / "out.mp4"
    with AnnotatedVideo(path, 25.0) as video:
        for number in (0, 1, 2, 5, 6):
            video.write(a_frame(number), an_answer({"walking": 0.7, "running": 0.3}))
    codec, times_s, last = decoded(path)
    assert codec in ("h264", "mpeg4")
    assert times_s == pytest.approx([0, 0.04, 0.08, 0.2, 0.24], abs=1e-3)
    assert last.shape[0] == 360
    assert last.shape[1] >= 480
    assert list(tmp_path.iterdir()) == [path]


def test_frames_at_the_same_time_are_all_kept(tmp_path):
    with AnnotatedVideo(tmp_path / "out.mp4", 25.0) as video:
        for _ in range(3):
            video.write(a_frame(0), None)
    assert len(decoded(tmp_path / "out.mp4")[1]) == 3


def test_the_picture_is_shown_whole_and_the_panel_shows_the_scores():
    frame = a_frame()
    few = annotate(frame, an_answer({"walking": 0.2, "running": 0.8}), 1.6)
    more = annotate(frame, an_answer({"walking": 0.1, "running": 0.9}), 1.6)
    none = annotate(frame, None, 1.6)
    assert few.dtype == np.uint8
    assert few.shape == more.shape == none.shape
    assert np.all(few[:, :480] == 60)

    def bar_px(picture):  # the widest run of the colour of the best class
        return (picture[:, 480:] == (90, 190, 250)).all(axis=2).sum(axis=1).max()

    assert bar_px(none) == 0
    assert bar_px(more) / bar_px(few) == pytest.approx(0.9 / 0.8, abs=0.02)


@pytest.mark.parametrize(
    ("shape", "pixel_format"),
    [
        ((479, 641, 3), PixelFormat.BGR24),
        ((120, 160), PixelFormat.GRAY8),
        ((120, 160, 3), PixelFormat.RGB24),
        ((9, 8, 3), PixelFormat.BGR24),
        ((40, 1000, 3), PixelFormat.BGR24),
        ((120, 160, 4), PixelFormat.RGBA32),
        ((120, 160, 2), PixelFormat.YUYV),
    ],
)
def test_any_size_and_format_can_be_written(tmp_path, shape, pixel_format):
    many = {f"class {number} with a long name": 1 / 50 for number in range(50)}
    with AnnotatedVideo(tmp_path / "out.mp4", 25.0) as video:
        video.write(a_frame(0, shape, pixel_format), an_answer(many))
        video.write(a_frame(1), None)
    last = decoded(tmp_path / "out.mp4")[2]
    assert last.shape[0] % 2 == last.shape[1] % 2 == 0


def test_a_decoded_video_frame_is_shown_in_its_colours():
    planes = tuple(
        np.full(shape, level, np.uint8) for shape, level in (((120, 160), 81), ((60, 80), 90), ((60, 80), 240))
    )
    picture = annotate(Frame(planes, PixelFormat.I420, 0.0, 0.0, 0), None, 0.0)
    assert np.abs(picture[100, 100].astype(int) - (0, 0, 255)).max() <= 2  # red, BT.601, limited range


def record_and_fail(path, error, frames):
    with AnnotatedVideo(path, 25.0) as video:
        for number in range(frames):
            video.write(a_frame(number), None)
        raise error


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"older")
    with pytest.raises(ZeroDivisionError):
        record_and_fail(path, ZeroDivisionError, 2)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"older"


def test_ctrl_c_keeps_what_was_recorded(tmp_path):
    path = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        record_and_fail(path, KeyboardInterrupt, 4)
    assert len(decoded(path)[1]) == 4


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    code = f"""
import resource, signal
from edgehar import SinkError, open_source
from edgehar.annotate import AnnotatedVideo
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # the nearest thing to a full disk that needs no root
try:
    with AnnotatedVideo({str(tmp_path / "out.mp4")!r}, 25.0) as video:
        for frame in open_source("synthetic:running?duration_s=2"):
            video.write(frame, None)
except SinkError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "out.mp4: cannot be written: File too large; choose another" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_no_frame_makes_no_file(tmp_path):
    with AnnotatedVideo(tmp_path / "out.mp4", 25.0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "out.mp4", tmp_path / "folder", tmp_path / "file" / "out.mp4"):
        with pytest.raises(SinkError, match=str(path)), AnnotatedVideo(path, 25.0):
            pass
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]
