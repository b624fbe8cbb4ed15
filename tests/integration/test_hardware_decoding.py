"""Decoding in hardware falls back to software by itself; and, against a strict substitute for PyAV, works."""

import logging

import av
import numpy as np
import pytest
from support.fake_hardware import Machine
from support.helpers import write_video
from support.rtsp_server import moving_frames

from edgehar import ConfigError, PixelFormat, open_source

COUNT = 100


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos") / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "keyint=12:min-keyint=12:scenecut=0"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for pixels in moving_frames(COUNT):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def known(video):
    with open_source(video) as source:
        return [np.array(frame.data[0]) for frame in source]


def read(video, **options):
    with open_source(video, **options) as source:
        frames = [(frame.format, np.array(frame.data[0])) for frame in source]
        return frames, source.decoding


@pytest.mark.parametrize("wanted", ["nonesuch", "vaapi", "v4l2m2m"])
def test_without_the_hardware_software_decodes_and_a_line_says_why(video, known, wanted, monkeypatch, caplog):
    Machine().install(monkeypatch)
    frames, decoding = read(video, hwaccel=wanted)
    assert decoding.hardware is None
    assert all(np.array_equal(picture, same) for (_, picture), same in zip(frames, known, strict=True))
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "no hardware decodes its h264" in line
    assert line.endswith("; decoding in software")


def test_this_machine_decodes_with_or_without_hardware(video, known):
    frames, _ = read(video, hwaccel="auto")
    assert len(frames) == len(known)


@pytest.mark.parametrize(
    ("wanted", "machine", "opened"),
    [
        ("vaapi", Machine(devices=("vaapi",)), ["vaapi"]),
        ("v4l2m2m", Machine(decoders=("h264_v4l2m2m",)), ["h264_v4l2m2m"]),
        (
            "auto",
            Machine(decoders=("h264_v4l2m2m",), devices=("vaapi",), broken=("h264_v4l2m2m",)),
            ["h264_v4l2m2m", "vaapi"],
        ),
        ("auto", Machine(devices=("vaapi", "drm")), ["drm"]),
    ],
)
def test_hardware_decodes_all_frames(video, known, wanted, machine, opened, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    machine.install(monkeypatch)
    frames, decoding = read(video, hwaccel=wanted, decode="key")
    assert machine.opened == opened
    assert (decoding.hardware, decoding.mode) == (opened[-1].removeprefix("h264_"), "full")
    assert {layout for layout, _ in frames} == {PixelFormat.NV12}
    assert all(np.array_equal(picture, same) for (_, picture), same in zip(frames, known, strict=True))
    (line,) = [record.getMessage() for record in caplog.records if "decodes its h264" in record.getMessage()]
    assert not any(record.levelno >= logging.WARNING for record in caplog.records), line


@pytest.mark.parametrize(("packets", "back"), [(0, 72), (20, 84)])
def test_hardware_that_returns_no_frames_is_given_up_at_a_key_frame(video, known, packets, back, monkeypatch, caplog):
    Machine(devices=("vaapi",), silent=("vaapi",), silent_after=packets).install(monkeypatch)
    frames, decoding = read(video, hwaccel="vaapi")
    assert decoding.hardware is None
    assert "vaapi returns no frames; decoding in software" in caplog.text
    # The first key frame after 64 packets without a frame.
    after = frames[back - COUNT :]
    assert {layout for layout, _ in after} == {PixelFormat.I420}
    assert all(np.array_equal(picture, same) for (_, picture), same in zip(after, known[back:], strict=True))
    assert len(frames) - len(after) <= packets


def test_other_codecs_are_left_to_software(tmp_path, monkeypatch, caplog):
    machine = Machine(devices=("vaapi",)).install(monkeypatch)
    frames, _ = read(write_video(tmp_path / "a.mp4", moving_frames(3)), hwaccel="auto")
    assert (len(frames), machine.opened) == (3, [])
    assert "only H.264 and H.265 are decoded in hardware" in caplog.text


def test_a_name_that_cannot_be_one_is_refused(video):
    with pytest.raises(ConfigError, match="hwaccel is 'VA API'"):
        open_source(video, hwaccel="VA API")
