"""`edgehar devices` against a kernel that answers V4L2's questions, and a fake libcamera."""

import errno
import fcntl
import json
import struct
import sys
from pathlib import Path

import pytest
from support.fake_picamera2 import Sensor, library

from edgehar.cli.main import main
from edgehar.sources import listing

CAPTURE, META, STREAMING, DEVICE_CAPS = 0x1, 0x800000, 0x4000000, 0x80000000


class Kernel:
    """The three questions about cameras, answered as linux/videodev2.h lays them out.

    `nodes` gives for each number the driver, the card, its capabilities, and its formats with their sizes.
    """

    def __init__(self, folder, nodes):
        self.folder, self.nodes = folder, nodes
        for number in nodes:
            (folder / f"video{number}").touch()

    def ioctl(self, descriptor, request, answer):
        number = int(Path(f"/proc/self/fd/{descriptor}").readlink().name.removeprefix("video"))
        driver, card, capabilities, formats = self.nodes[number]
        # The size that a request carries is that of its structure.
        assert len(answer) == request >> 16 & 0x3FFF
        if request == 0x80685600 and driver is not None:
            fields = (driver.encode(), card.encode(), b"usb-1.2", 0x60000, CAPTURE | META | DEVICE_CAPS, capabilities)
            struct.pack_into("=16s32s32sIII", answer, 0, *fields)
        elif request == 0xC0405602:
            index, kind = struct.unpack_from("=II", answer)
            if kind != 1 or index >= len(formats):
                raise OSError(errno.EINVAL, "Invalid argument")
            struct.pack_into("=I", answer, 44, int.from_bytes(list(formats)[index].encode(), "little"))
        elif request == 0xC02C564A:
            index, fourcc = struct.unpack_from("=II", answer)
            sizes = formats[fourcc.to_bytes(4, "little").decode()]
            if index >= len(sizes):
                raise OSError(errno.EINVAL, "Invalid argument")
            kind = 1 if len(sizes[index]) == 2 else 3
            struct.pack_into(f"=I{len(sizes[index])}I", answer, 8, kind, *sizes[index])
        else:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        return 0


UVC = {"YUYV": [(640, 480), (1280, 720)], "MJPG": [(1920, 1080)]}
NODES = {
    10: ("uvcvideo", "HD Webcam", CAPTURE | STREAMING, UVC),
    2: ("vivid", "Test", CAPTURE, {"GREY": [(320, 1920, 8, 180, 1080, 4)]}),
    11: ("uvcvideo", "HD Webcam", META, {}),
    0: ("unicam", "unicam", CAPTURE, {"pRAA": []}),
    12: ("bcm2835-codec", "decoder", CAPTURE, {}),
    13: (None, "", 0, {}),
}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes a machine of video nodes and, with them, of sensors."""

    def make(nodes, sensors=()):
        monkeypatch.setattr(fcntl, "ioctl", Kernel(tmp_path, nodes).ioctl)
        monkeypatch.setattr(listing, "_DEV", tmp_path)
        monkeypatch.setitem(sys.modules, "picamera2", library(*sensors) if sensors else None)
        return tmp_path

    return make


def test_what_there_is(machine, capsys):
    folder = machine(NODES, [Sensor()])
    assert main(["devices"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"-            unicam ({folder}/video0)",
        "             sends the raw data of a camera module; read the module with --source picamera2:0",
        f"camera:2     Test ({folder}/video2)",
        "             GREY 320x180 to 1920x1080",
        f"camera:10    HD Webcam ({folder}/video10)",
        "             YUYV 640x480 1280x720",
        "             MJPG 1920x1080",
        "picamera2:0  imx219 (/base/i2c@0)",
    ]


def test_as_json(machine, capsys):
    folder = machine({0: NODES[10]})
    assert main(["devices", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "source": "camera:0",
        "name": "HD Webcam",
        "path": f"{folder}/video0",
        "formats": ["YUYV 640x480 1280x720", "MJPG 1920x1080"],
        "why_not": None,
    }


def test_nothing_there(machine, capsys):
    machine({})
    assert main(["devices"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "no camera found; plug one in" in err


def test_a_camera_that_may_not_be_opened(machine, monkeypatch, capsys):
    machine({0: NODES[10]})

    def refuse(path, flags):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(listing.os, "open", refuse)
    assert main(["devices"]) == 0
    assert "add yourself to the group video: sudo usermod -aG video $USER" in capsys.readouterr().out
