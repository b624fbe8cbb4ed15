"""Camera modules of a Raspberry Pi: what is asked of libcamera, and what becomes of its buffers, clocks and colours."""

import gc
import logging
import sys
import time

import numpy as np
import pytest
from support import fake_picamera2 as fake

from edgehar import ConfigError, FrameRing, PixelFormat, SourceError, YuvMatrix, open_source
from edgehar.pictures import as_bgr
from edgehar.sources.picamera2 import _captured_s


@pytest.fixture
def on_a_pi(monkeypatch):
    """Makes this a board with these sensors; gives the library."""

    def board(*sensors):
        module = fake.library(*sensors)
        monkeypatch.setitem(sys.modules, "picamera2", module)
        return module

    return board


def frames_of(count=1, **options):
    with open_source("picamera2:0", **options) as source:
        return [frame for _, frame in zip(range(count), source, strict=False)]


@pytest.mark.parametrize("align", [2, 32, 64, 128])
def test_frames_are_small_i420_pictures_of_what_the_camera_sees(on_a_pi, align):
    library = on_a_pi(fake.Sensor(align=align))
    (frame,) = frames_of(target_size=(60, 60))
    assert frame.format is PixelFormat.I420
    assert [plane.shape for plane in frame.data] == [(120, 160), (60, 80), (60, 80)]
    assert np.abs(as_bgr(frame).astype(int) - fake.scene(120, 160)).mean() < 3
    ring = FrameRing(1, 60, 60, dtype="uint8")
    ring.push(frame)
    small = ring.latest().astype(int)
    ring.push(fake.scene(1200, 1600))
    assert np.abs(small - ring.latest()).mean() < 3
    assert [camera.closed for camera in library.opened] == [1]


def test_libcamera_is_asked_for_the_whole_view_at_little_cost(on_a_pi):
    library = on_a_pi(fake.Sensor())
    frames_of(target_size=(60, 60), rate_hz=15, controls={"AnalogueGain": 2.0})
    asked = library.opened[0].camera_configuration()
    assert asked["sensor"] == {"output_size": (1640, 1232), "bit_depth": 10}  # 640x480 shows the middle only
    assert asked["main"]["size"] == asked["lores"]["size"] == (160, 120)
    assert asked["raw"] is None
    assert asked["buffer_count"] <= 4
    assert library.opened[0].controls["FrameDurationLimits"] == (66667, 66667)
    assert library.opened[0].controls["AnalogueGain"] == 2.0


@pytest.mark.parametrize(
    ("modes", "target_size", "size"),
    [
        (fake.IMX219, None, (640, 480)),
        (fake.IMX219, (60, 60), (160, 120)),
        (fake.IMX219, (64, 64), (170, 128)),
        (fake.IMX219, (60, 200), (400, 300)),
        (fake.IMX219, (9, 7), (24, 18)),
        (fake.IMX708, (60, 60), (214, 120)),
        (fake.IMX708, (33, 33), (118, 66)),
    ],
)
def test_frames_are_at_least_twice_the_target_in_the_aspect_of_the_sensor(on_a_pi, modes, target_size, size):
    on_a_pi(fake.Sensor(modes))
    (frame,) = frames_of(target_size=target_size)
    assert (frame.width, frame.height) == size


@pytest.mark.parametrize(
    ("modes", "rate_hz", "said"),
    [(fake.IMX219, None, "30"), (fake.IMX219, 12.5, "12.5"), (fake.IMX219, 90, "41.8"), (fake.IMX708, 50, "50")],
)
def test_the_rate_that_the_whole_view_allows_is_told(on_a_pi, caplog, modes, rate_hz, said):
    on_a_pi(fake.Sensor(modes))
    caplog.set_level(logging.INFO, "edgehar")
    (frame,) = frames_of(rate_hz=rate_hz, target_size=(60, 60))
    assert caplog.messages == [f"picamera2:0: imx219, {frame.width}x120 I420 at {said} frames/s"]


@pytest.mark.parametrize(
    ("colour_space", "matrix", "full_range"),
    [
        (fake.SMPTE170M, YuvMatrix.BT601, False),
        (fake.REC709, YuvMatrix.BT709, False),
        (fake.SYCC, YuvMatrix.BT601, True),
        (None, YuvMatrix.BT601, False),
    ],
)
def test_colours_are_those_that_libcamera_settled_on(on_a_pi, colour_space, matrix, full_range):
    on_a_pi(fake.Sensor(colour_space=colour_space))
    (frame,) = frames_of()
    assert (frame.matrix, frame.full_range) == (matrix, full_range)
    assert np.abs(as_bgr(frame).astype(int) - fake.scene(480, 640)).mean() < 3


def test_frames_may_be_kept_though_buffers_are_recycled(on_a_pi):
    on_a_pi(fake.Sensor())
    frames = frames_of(12, target_size=(60, 60))
    gc.collect()
    assert [frame.sequence for frame in frames] == list(range(12))
    for number, frame in enumerate(frames):
        luma = fake.as_i420(fake.scene(120, 160, number * 10), fake.SMPTE170M)[0]
        assert np.array_equal(frame.data[0], luma)


def test_frames_are_captured_when_the_sensor_says(on_a_pi):
    on_a_pi(fake.Sensor())
    for frame in frames_of(3):
        assert 0.02 < frame.arrived_s - frame.captured_s < 0.5


@pytest.mark.parametrize("stamp_ns", [lambda: None, lambda: 5, lambda: 2**62])
def test_frames_without_a_sound_time_are_captured_when_they_arrive(on_a_pi, stamp_ns):
    on_a_pi(fake.Sensor(stamp_ns=stamp_ns))
    (frame,) = frames_of()
    assert frame.captured_s == frame.arrived_s


def test_times_never_go_back(on_a_pi):
    stamps = iter([None, time.monotonic_ns() - 10**9, None, time.monotonic_ns() - 5 * 10**9])
    on_a_pi(fake.Sensor(stamp_ns=lambda: next(stamps), frames=4))
    captured_s = [frame.captured_s for frame in frames_of(4)]
    assert captured_s == sorted(captured_s)


@pytest.mark.parametrize("asleep_s", [0.0, 3600.0])
def test_a_stamp_of_the_clock_that_counts_sleep_is_set_back(monkeypatch, asleep_s):
    now_s = time.monotonic()
    monkeypatch.setattr(time, "clock_gettime", lambda clock: time.monotonic() + asleep_s)
    of_boot, of_monotonic = (now_s - 0.03 + asleep_s) * 1e9, (now_s - 0.03) * 1e9
    assert _captured_s(int(of_boot), now_s) == pytest.approx(now_s - 0.03, abs=1e-3)
    assert _captured_s(int(of_monotonic), now_s) == pytest.approx(now_s - 0.03, abs=1e-3)


def test_a_camera_that_falls_silent_is_an_error(on_a_pi):
    library, frames = on_a_pi(fake.Sensor(frames=2)), []
    source = open_source("picamera2:0", read_timeout_s=0.05)
    with source, pytest.raises(SourceError, match=r"picamera2:0: no frame in 0\.05 s; check the cable"):
        frames.extend(source)
    assert len(frames) == 2
    assert library.opened[0].flushed
    assert library.opened[0].closed == 1


USB = fake.Sensor(modes=[{"format": "MJPEG"}])


@pytest.mark.parametrize(
    ("uri", "sensors", "options", "error", "message"),
    [
        ("picamera2:x", [], {}, ConfigError, "by its number, for example picamera2:0"),
        ("picamera2:1", [fake.Sensor()], {}, SourceError, r"picamera2:1: no such camera \(libcamera sees: 0: imx219\)"),
        ("picamera2:0", [], {}, SourceError, r"\(libcamera sees: none\); check the cable, and: rpicam-hello"),
        ("picamera2:0", [fake.Sensor(busy=True)], {}, SourceError, "resource busy.*in use by another program"),
        ("picamera2:0", [fake.Sensor(raw=False)], {}, SourceError, "not a camera module.*--camera N instead$"),
        ("picamera2:0", [USB], {}, SourceError, "cannot be configured: .*--camera N instead"),
        ("picamera2:0", [fake.Sensor(streams="NV12")], {}, SourceError, "NV12 pictures instead of YUV420"),
        (
            "picamera2:0",
            [fake.Sensor()],
            {"controls": {"Zoom": 2}},
            ConfigError,
            "Zoom is not a control .* AnalogueGain",
        ),
        ("picamera2:0", [fake.Sensor()], {"rate_hz": 0}, ConfigError, "rate_hz is 0: "),
        ("picamera2:0", [fake.Sensor()], {"target_size": (60,)}, ConfigError, r"target_size is \(60,\): "),
        (
            "picamera2:0",
            [fake.Sensor()],
            {"width": 640},
            ConfigError,
            "width is not an option .* target_size, controls",
        ),
    ],
)
def test_what_cannot_be_opened_says_why_and_is_closed(on_a_pi, uri, sensors, options, error, message):
    library = on_a_pi(*sensors)
    with pytest.raises(error, match=message):
        open_source(uri, **options)
    assert all(camera.closed == 1 for camera in library.opened)


def test_without_picamera2_the_line_that_installs_it_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(SourceError, match=r"sudo apt install python3-picamera2.*--system-site-packages"):
        open_source("picamera2:0")


def test_a_picamera2_built_for_another_numpy_is_said(monkeypatch, tmp_path):
    (tmp_path / "picamera2.py").write_text(
        "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility. Expected 96')"
    )
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SourceError, match=r"pip install 'numpy<2'"):
        open_source("picamera2:0")
