"""Cameras that fall silent or are unplugged, and come back."""

import sys

import cv2
import pytest
from support.fake_capture import Camera
from support.fake_picamera2 import Sensor, library

from edgehar import open_source
from edgehar.capture.options import ReconnectOptions
from edgehar.capture.reader import Capture

QUICK = ReconnectOptions(first_delay_s=0.01, max_delay_s=0.01)


@pytest.fixture
def watch():
    """Starts a capture; gives what it reads until an epoch begins."""
    started = []

    def start(epoch, uri, **options):
        capture = Capture(lambda: open_source(uri, **options), options=QUICK)
        started.append(capture)
        capture.start()
        frames = []
        while not frames or frames[-1][0] < epoch:
            frames.append(capture.frames.get(10))
        return capture, frames

    yield start
    for capture in started:
        capture.stop()


def test_a_usb_camera_that_was_unplugged(watch, monkeypatch):
    camera = Camera({"YUYV": {(640, 480): 30.0}}, frames=5, period_s=0.01)
    monkeypatch.setattr(cv2, "VideoCapture", camera.open)
    capture, frames = watch(2, "camera:0")
    assert len(camera.opened) == 3
    assert [one.released for one in camera.opened] == [True, True, False]
    captured_s = [frame.captured_s for _, frame in frames]
    assert captured_s == sorted(captured_s)
    capture.stop()
    assert camera.opened[-1].released


def test_a_camera_module_that_falls_silent_is_closed_before_it_is_opened_again(watch, monkeypatch):
    module = library(Sensor(frames=5, period_s=0.01))
    monkeypatch.setitem(sys.modules, "picamera2", module)
    at_opening = []
    make = module.Picamera2.__init__

    def init(camera, *arguments):
        at_opening.append([earlier.closed for earlier in module.opened])
        make(camera, *arguments)

    monkeypatch.setattr(module.Picamera2, "__init__", init)
    capture, frames = watch(2, "picamera2:0", read_timeout_s=0.1)
    assert at_opening == [[], [1], [1, 1]]
    captured_s = [frame.captured_s for _, frame in frames]
    assert captured_s == sorted(captured_s)
    capture.stop()
    assert module.opened[-1].closed == 1
