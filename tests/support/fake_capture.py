"""A V4L2 camera behind OpenCV, for want of a real one: `cv2.VideoCapture` as its V4L2 back end behaves, and no more.

What it holds to was read in OpenCV's `cap_v4l.cpp`: a size takes effect when both sides were given; a FOURCC that the
driver does not have is answered with True and another format; a rate that the driver lowered is what OpenCV asks for
from then on; raw frames come as `(1, n)` in newer versions; every frame read is a copy. A property that the source has
no business with is an error.
"""

import functools
import time
from dataclasses import dataclass, field

import cv2
import numpy as np

OPENCV_ORDER = ("YUYV", "NV12", "MJPG", "GREY")


def fourcc(name):
    return int.from_bytes(name.encode(), "little")


@functools.cache
def scene(height, width):
    """A smooth picture with all colours, uint8 `(height, width, 3)` BGR."""
    y, x = np.mgrid[0:height, 0:width]
    return np.dstack([255 * x / width, 255 * y / height, 255 * (1 - x / width)]).astype(np.uint8)


def as_yuyv(bgr):
    """BGR as `(height, width, 2)` YUYV, BT.601, limited range."""
    b, g, r = np.moveaxis(bgr.astype(float), -1, 0)
    y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    u = 128 + (-37.797 * r - 74.203 * g + 112 * b) / 255
    v = 128 + (112 * r - 93.786 * g - 18.214 * b) / 255
    chroma = np.where(np.arange(bgr.shape[1]) % 2 == 0, u, np.roll(v, 1, 1))
    return np.round(np.dstack([y, chroma])).astype(np.uint8)


@dataclass
class Camera:
    """What is plugged in.

    Attributes:
        modes: for each FOURCC, (width, height) and the highest rate in frames a second of it.
        raw: whether the driver lets OpenCV hand on what it sends.
        flat: whether this OpenCV gives raw frames as one row.
        padding: bytes after each row of YUYV.
        damage: called with the number of a frame and the bytes sent, gives the bytes that arrive.
        frames: how many there are before it is unplugged.
        period_s: how long each read waits for its frame.
        tells_rate: whether the driver says what rate it has.
        opened: what OpenCV made of it, each time.
    """

    modes: dict[str, dict[tuple[int, int], float]]
    raw: bool = True
    flat: bool = True
    padding: int = 0
    damage: object = None
    frames: int = 20
    period_s: float = 0.0
    tells_rate: bool = True
    opened: list = field(default_factory=list)

    def open(self, number, api):
        """Replaces `cv2.VideoCapture`."""
        assert api == cv2.CAP_V4L2
        self.opened.append(VideoCapture(self))
        return self.opened[-1]


class VideoCapture:
    """What OpenCV makes of the camera."""

    def __init__(self, camera):
        self._camera = camera
        self._asked = self._size = (640, 480)
        self._half_asked = {}
        self._asked_rate = self._rate = 30.0
        self._convert, self._number, self.released = True, 0, False
        self._take(())
        self._apply()

    def isOpened(self):  # noqa: N802 - OpenCV's name
        return True

    def set(self, prop, value):
        assert not self.released
        if prop == cv2.CAP_PROP_BUFFERSIZE:
            assert value >= 1
        elif prop == cv2.CAP_PROP_CONVERT_RGB:
            if not value and not self._camera.raw:
                return False
            self._convert = bool(value)
        elif prop == cv2.CAP_PROP_FOURCC:
            self._take([name for name in self._camera.modes if fourcc(name) == int(value)])
            self._apply()
        elif prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT):
            self._half_asked[prop] = int(value)
            if len(self._half_asked) == 2:
                self._asked = (self._half_asked[cv2.CAP_PROP_FRAME_WIDTH], self._half_asked[cv2.CAP_PROP_FRAME_HEIGHT])
                self._half_asked.clear()
                self._apply()
        elif prop == cv2.CAP_PROP_FPS:
            self._asked_rate = float(round(value))
            self._apply()
        else:
            raise AssertionError(f"set({prop}, {value})")
        return True

    def get(self, prop):
        assert not self.released
        return {
            cv2.CAP_PROP_FOURCC: float(fourcc(self._format)),
            cv2.CAP_PROP_FRAME_WIDTH: float(self._size[0]),
            cv2.CAP_PROP_FRAME_HEIGHT: float(self._size[1]),
            cv2.CAP_PROP_FPS: self._rate if self._camera.tells_rate else -1.0,
        }[prop]

    def read(self):
        assert not self.released
        if self._number >= self._camera.frames:
            return False, None
        time.sleep(self._camera.period_s)
        self._number += 1
        width, height = self._size
        bgr = scene(height, width)
        if self._convert:
            return True, bgr
        sent = self._sent(bgr)
        if self._format == "YUYV" and not self._camera.flat and sent.size == width * height * 2:
            return True, sent.reshape(height, width, 2)
        return True, sent.reshape(1, -1).copy()

    def release(self):
        self.released = True

    def _take(self, names):
        self._format = [*names, *(name for name in OPENCV_ORDER if name in self._camera.modes)][0]

    def _apply(self):
        sizes = self._camera.modes[self._format]
        self._size = min(sizes, key=lambda size: abs(size[0] - self._asked[0]) + abs(size[1] - self._asked[1]))
        self._rate = min(self._asked_rate, sizes[self._size])
        self._asked_rate = self._rate

    def _sent(self, bgr):
        if self._format == "YUYV":
            lines = as_yuyv(bgr).reshape(len(bgr), -1)
            sent = np.pad(lines, ((0, 0), (0, self._camera.padding)), constant_values=255).reshape(-1)
        elif self._format == "MJPG":
            sent = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].reshape(-1)
        else:
            sent = np.zeros(bgr.size // 2, np.uint8)
        return sent if self._camera.damage is None else self._camera.damage(self._number - 1, sent)
