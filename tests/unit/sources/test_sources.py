import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.helpers import flat_frames

from edgehar import ConfigError, Frame, PixelFormat, SourceError, open_source
from edgehar.sources.base import HandleSource


def test_arrays_become_frames_on_their_own_clock():
    arrays = flat_frames([0, 50, 100])
    with open_source(arrays, rate_hz=10) as source:
        frames = list(source)
    assert not source.live
    assert [frame.captured_s for frame in frames] == [0.0, 0.1, 0.2]
    assert [frame.sequence for frame in frames] == [0, 1, 2]
    assert all(frame.format is PixelFormat.BGR24 for frame in frames)
    assert [frame.data is array for frame, array in zip(frames, arrays, strict=True)] == [True] * 3


def test_frames_keep_their_times_and_one_array_of_many_frames_is_an_iterable():
    frame = Frame(np.zeros((9, 9), np.uint8), PixelFormat.GRAY8, 7.5, 0.0, 3)
    assert list(open_source([frame])) == [frame]
    assert len(list(open_source(np.zeros((4, 9, 9, 3), np.uint8)))) == 4


def test_a_source_is_given_back_as_it_is():
    source = open_source([])
    assert open_source(source) is source


@pytest.mark.parametrize(
    "item", [np.zeros((9, 9, 3), np.float32), np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), "frame"]
)
def test_what_is_no_frame_is_named(item):
    with pytest.raises(SourceError, match=r"item 1 is .*uint8 arrays of shape"):
        list(open_source([np.zeros((9, 9, 3), np.uint8), item]))


@pytest.mark.parametrize("rate_hz", [0, -1, float("nan")])
def test_rates_must_be_above_zero(rate_hz):
    with pytest.raises(ConfigError, match="rate_hz is"):
        open_source([], rate_hz=rate_hz)


@pytest.fixture
def shots(tmp_path):
    """Images shot1 to shot12, of growing brightness, and a text file."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for number in range(1, 13):
        cv2.imwrite(str(folder / f"shot{number}.png"), np.full((20, 30, 3), 20 * number, np.uint8))
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.mark.parametrize("pattern", ["", "*.png", "images:"])
def test_a_folder_or_glob_of_images_is_read_in_natural_order(shots, pattern):
    uri = f"images:{shots}" if pattern == "images:" else shots / pattern
    frames = list(open_source(uri, rate_hz=5))
    assert [frame.data[0, 0, 0] for frame in frames] == [20 * number for number in range(1, 13)]
    assert frames[-1].captured_s == pytest.approx(11 / 5)
    assert frames[0].data.shape == (20, 30, 3)


def test_colour_images_are_bgr(tmp_path):
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "red.png"), red)
    (frame,) = open_source(tmp_path / "red.png")
    assert frame.data[0, 0].tolist() == [0, 0, 255]


def test_an_unreadable_image_among_good_ones_is_skipped_and_named(shots, caplog):
    (shots / "shot3.png").write_bytes(b"not a picture")
    (shots / "shot4.png").write_bytes(b"")
    frames = list(open_source(shots))
    assert len(frames) == 10
    assert [frame.sequence for frame in frames[:3]] == [0, 1, 4]
    assert [Path(record.args[0]).name for record in caplog.records] == ["shot3.png", "shot4.png"]


def test_images_none_of_which_can_be_read_are_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(SourceError, match="none of its 1 files"):
        list(open_source(tmp_path))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("nowhere/*.png", SourceError, "no file matches"),
        ("nowhere.png", SourceError, "no such image"),
        ("nowhere.mp4", SourceError, "no such file"),
        ("camera:one", ConfigError, "by its number"),
        ("gopher:x", ConfigError, "unknown kind of source 'gopher'; known: camera, "),
        ("gopher://user:secret@host/x", ConfigError, r"^gopher://host/x: unknown kind"),
        ("synthetic:juggling", ConfigError, "no such action"),
    ],
)
def test_what_cannot_be_opened_says_why(source, error, message):
    with pytest.raises(error, match=message):
        open_source(source)


def test_an_option_of_another_kind_of_source_is_named(shots):
    with pytest.raises(ConfigError, match=r"rate_hz is not an option.* it has none"):
        open_source("synthetic:walking", rate_hz=10)
    with pytest.raises(ConfigError, match=r"nowhere.mp4: rate_hz is not an option.*open_timeout_s, .*transport"):
        open_source("nowhere.mp4", rate_hz=10)
    with pytest.raises(ConfigError, match="loop is not an option"):
        open_source("camera:0", loop=True)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("camera:0", {"width": 640}, "camera:0: width and height go together"),
        ("camera:0", {"target_size": (60, 0)}, r"target_size is \(60, 0\)"),
        ("camera:0", {"rate_hz": float("inf")}, "rate_hz is inf: expected a finite number"),
        ("nowhere.mp4", {"transport": "carrier pigeon"}, "transport is 'carrier pigeon'"),
        ("rtsp://user:secret@host/x", {"read_timeout_s": "soon"}, r"^rtsp://host/x: read_timeout_s is 'soon'"),
        ("shots", {"realtime": 3}, "realtime is 3"),
    ],
)
def test_an_option_with_a_wrong_value_is_named_with_the_value(shots, source, options, message):
    with pytest.raises(ConfigError, match=message):
        open_source(shots if source == "shots" else source, **options)


def test_numbers_of_numpy_are_numbers():
    assert len(list(open_source(flat_frames([1, 2]), rate_hz=np.float32(10)))) == 2


@pytest.mark.parametrize(("source", "message"), [("", "is empty"), ("a\0b.mp4", r"'a\\x00b.mp4' holds a NUL")])
def test_an_address_that_can_be_none(source, message):
    with pytest.raises(ConfigError, match=message):
        open_source(source)


def test_schemes_may_be_in_capitals():
    with open_source("SYNTHETIC:walking") as source:
        assert source.name == "synthetic:walking"


def test_a_usb_camera_may_be_given_by_its_device():
    for device in ("/dev/video97", "camera:/dev/video97"):
        with pytest.raises(SourceError, match="video97"):
            open_source(device)
    with pytest.raises(SourceError, match=r"^/dev/v4l/by-id/usb-cam: no such camera \(by id: "):
        open_source("/dev/v4l/by-id/usb-cam")


def test_what_frames_are_for_may_be_told_to_every_source(shots):
    for source in (shots, "synthetic:walking", flat_frames([0])):
        open_source(source, target_size=(60, 60)).close()
    with pytest.raises(ConfigError, match="rate_hz is not an option"):
        open_source("synthetic:walking", target_size=(60, 60), rate_hz=10)


def test_a_camera_that_is_not_there(capfd):
    with pytest.raises(SourceError, match=r"no camera 97 \(/dev/video97 .*; cameras: .*--source FILE"):
        open_source(97)
    assert capfd.readouterr().err == ""


def test_a_missing_library_is_named_with_the_line_that_installs_it():
    code = """
import sys
sys.modules["cv2"] = None
import edgehar
try:
    edgehar.open_source("camera:0")
except edgehar.SourceError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "camera:0: this source needs OpenCV; run: pip install opencv-python-headless\n"


class _Handle(HandleSource):
    """A handle whose reads last until they may return, and which notices being released during one."""

    name = "handle"

    def __init__(self):
        super().__init__()
        self.reading, self.released = False, 0
        self.started, self.may_return = threading.Event(), threading.Event()

    def _read(self):
        self.reading = True
        self.started.set()
        self.may_return.wait(10)
        self.reading = False
        return Frame(np.zeros((9, 9, 3), np.uint8), PixelFormat.BGR24, 0.0, 0.0, 0)

    def _release(self):
        assert not self.reading
        self.released += 1


def test_a_handle_is_never_let_go_of_during_a_read_in_another_thread():
    source, frames = _Handle(), []
    reader = threading.Thread(target=lambda: frames.extend(source))
    reader.start()
    source.started.wait(10)
    source.close()
    assert source.reading
    assert not source.released
    source.may_return.set()
    reader.join(10)
    source.close()
    assert not reader.is_alive()
    assert source.released == 1
    assert list(source) == []


def test_an_unread_handle_is_let_go_of_at_once():
    source = _Handle()
    source.may_return.set()
    next(iter(source))
    source.close()
    assert source.released == 1
