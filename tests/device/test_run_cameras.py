"""`edgehar-run` on cameras: it tells them what its model needs, and answers about what they give."""

import sys

import cv2
import pytest
from support import fake_picamera2
from support.fake_capture import Camera
from support.helpers import predictions

from edgehar.cli.run import main
from edgehar.model.bundle import ModelBundle


@pytest.fixture
def camera(monkeypatch):
    """A webcam that gives JPEG only, as number 0."""
    plugged_in = Camera({"MJPG": {(640, 480): 30.0}}, frames=1000, period_s=0.04)
    monkeypatch.setattr(cv2, "VideoCapture", plugged_in.open)
    return plugged_in


@pytest.fixture
def module(monkeypatch):
    """A Raspberry Pi's camera module."""
    library = fake_picamera2.library(fake_picamera2.Sensor(frames=1000, period_s=0.04))
    monkeypatch.setitem(sys.modules, "picamera2", library)
    return library


def test_a_usb_camera_is_read_no_larger_than_the_model_needs(camera, tiny_bundle, capfd, caplog):
    caplog.set_level("INFO", "edgehar")
    assert main(["--camera", "0", "--model", str(tiny_bundle), "--max-predictions", "2"]) == 0
    assert [answer["source"] for answer in predictions(capfd.readouterr().out)] == ["camera:0"] * 2
    assert caplog.messages[0] == "camera:0: 640x480 MJPG at 30 frames/s, decoded at 1/8 of the size"
    assert camera.opened[0].released


def test_a_camera_module_is_read_no_larger_than_the_model_needs(module, tiny_bundle, capfd):
    arguments = ["--source", "picamera2:0", "--model", str(tiny_bundle), "--max-predictions", "2", "--rate-hz", "20"]
    assert main(arguments) == 0
    answers = predictions(capfd.readouterr().out)
    assert [answer["source"] for answer in answers] == ["picamera2:0"] * 2
    shape = ModelBundle.open(tiny_bundle).manifest.input
    assert module.opened[0].camera_configuration()["lores"]["size"][1] == 2 * shape.height
    assert module.opened[0].controls["FrameDurationLimits"] == (50_000, 50_000)
    assert module.opened[0].closed == 1
