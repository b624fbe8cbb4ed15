"""Frames from a USB or other V4L2 camera, through OpenCV."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import cv2

from edgehar.errors import ConfigError, SourceError
from edgehar.frames import Frame, PixelFormat
from edgehar.printable import printable
from edgehar.sources import jpeg
from edgehar.sources.base import HandleSource
from edgehar.sources.options import V4l2Options
from edgehar.sources.v4l2 import Mode, Wanted, negotiate

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_log = logging.getLogger(__name__)

# Failed reads in a row to accept. Drivers sometimes drop a frame; an unplugged camera fails every read at once.
_FAILED_READS = 5
# Damaged frames in a row to accept. The first frames often are, and a busy USB bus truncates frames.
_DAMAGED_FRAMES = 10
_DEFAULT = V4l2Options()


class CameraSource(HandleSource):
    """A V4L2 camera. `captured_s` is the time at which the driver returned the frame, on the monotonic clock.

    YUYV is preferred and passed on as it is. If the camera does not offer it at the wanted size and rate, MJPG is
    decoded at a reduced size. The last resort is BGR, converted by OpenCV. The result is logged. Damaged frames are
    skipped.

    Attributes:
        name: "camera:N", or the path of the device.
    """

    live = True

    def __init__(self, device: int | str, options: V4l2Options = _DEFAULT) -> None:
        """Open a camera.

        Args:
            device: N of `/dev/videoN`, or a path such as `/dev/v4l/by-id/...`, which stays the same when the camera is
                plugged in again and gets another number.
            options: size and rate to ask for.

        Raises:
            SourceError: the camera does not exist, is in use, or access is denied.
        """
        super().__init__()
        self.name = f"camera:{device}" if isinstance(device, int) else printable(device)
        number = device if isinstance(device, int) else _number(self.name, device)
        self._target_size = options.target_size
        size = None if options.width is None or options.height is None else (options.width, options.height)
        self._wanted = Wanted(size, options.rate_hz)
        self._sequence = self._good_frames = self._damaged = 0
        self._unreadable: set[Mode] = set()
        _silence_opencv()
        self._capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceError(_why_not(number))
        # Do not queue old frames in the driver.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._negotiate()

    @classmethod
    def from_uri(cls, uri: str, options: V4l2Options = _DEFAULT) -> Self:
        """Open `camera:N` or the path of a device, with or without `camera:` before it.

        Raises:
            ConfigError: it is neither a number nor a path.
        """
        device = uri.removeprefix("camera:")
        if device.startswith("/dev/"):
            return cls(device, options)
        if not re.fullmatch(r"[0-9]{1,4}", device):
            raise ConfigError(
                f"{printable(uri)}: give the camera by its number or device, for example camera:0 or /dev/video0"
            )
        return cls(int(device), options)

    @property
    def damaged(self) -> int:
        """Frames dropped so far because they were damaged."""
        return self._damaged

    def _negotiate(self) -> None:
        self._offer = negotiate(self._capture, self._wanted, self._unreadable)
        is_jpeg = self._offer.mode is Mode.MJPG
        self._factor = jpeg.reduction(self._offer.height, self._offer.width, self._target_size) if is_jpeg else 1
        reduced = f", decoded at 1/{self._factor} of the size" if self._factor > 1 else ""
        _log.info("%s: %s%s", self.name, self._offer, reduced)

    def _read(self) -> Frame:
        while (frame := self._next()) is None:
            mode = self._offer.mode
            _log.warning("%s: its %s frames are unreadable; trying another mode", self.name, mode.value)
            self._unreadable.add(mode)
            self._negotiate()
        return frame

    def _next(self) -> Frame | None:
        """Return the next undamaged frame, or None if the camera sends none in the negotiated mode."""
        failed = damaged = 0
        while failed < _FAILED_READS and damaged < _DAMAGED_FRAMES:
            try:
                got, buffer = self._capture.read()
            except cv2.error:  # OpenCV could not convert it
                got, buffer = True, None
            now_s = time.monotonic()
            if not got:
                failed += 1
                continue
            self._sequence += 1
            picture = self._picture(buffer) if buffer is not None else None
            if picture is not None:
                self._good_frames += 1
                return Frame(*picture, now_s, now_s, self._sequence - 1)
            damaged += 1
            self._damaged += 1
        if damaged < _DAMAGED_FRAMES:
            raise SourceError(
                f"{self.name}: no more frames; check that it is plugged in and not used by another program"
            )
        if self._good_frames or self._offer.mode is Mode.BGR:
            raise SourceError(
                f"{self.name}: {damaged} frames in a row were damaged; try another cable or USB port, or a smaller size"
            )
        return None

    def _picture(self, buffer: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], PixelFormat] | None:
        """Return the pixels of an OpenCV buffer, or None if it is incomplete."""
        offer = self._offer
        if buffer.ndim == 3 and buffer.shape[2] == 3:  # OpenCV converted it, requested or not
            return buffer, PixelFormat.BGR24
        if offer.mode is Mode.YUYV:
            pixels, layout = _yuyv(buffer, offer.height, offer.width), PixelFormat.YUYV
        else:
            pixels, layout = jpeg.decode(buffer.reshape(-1), offer.height, offer.width, self._factor), PixelFormat.BGR24
        return None if pixels is None else (pixels, layout)

    def _release(self) -> None:
        self._capture.release()


def _yuyv(buffer: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8] | None:
    """Return a buffer as `(height, width, 2)`. Newer OpenCV versions return all of the driver's bytes in one row.

    Drivers may pad the rows. Returns None if the bytes are not whole rows, too few, or the width is odd.
    """
    if buffer.shape == (height, width, 2) and not width % 2:
        return buffer
    line_size, left_over = divmod(buffer.size, height) if height else (0, 1)
    if left_over or line_size % 2 or line_size < 2 * width or width % 2:
        return None
    return buffer.reshape(height, line_size // 2, 2)[:, :width]


def _silence_opencv() -> None:
    # OpenCV prints its own warnings to stderr. OpenCV 5 moved the function.
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)
    else:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _number(name: str, path: str) -> int:
    """Return N of the `/dev/videoN` that a path leads to. Raises SourceError if it leads elsewhere."""
    found = re.fullmatch(r"/dev/video([0-9]+)", os.path.realpath(path))
    if found is None:
        listed = ", ".join(sorted(str(link) for link in Path("/dev/v4l/by-id").glob("*"))) or "none"
        raise SourceError(f"{name}: no such camera (by id: {listed}); plug it in, or run: edgehar devices")
    return int(found[1])


def _why_not(number: int) -> str:
    device = Path(f"/dev/video{number}")
    others = sorted(str(path) for path in Path("/dev").glob("video*"))
    if not device.exists():
        listed = ", ".join(others) or "none"
        return f"no camera {number} ({device} does not exist; cameras: {listed}); plug one in, or try --source FILE"
    return (
        f"camera {number} ({device}) cannot be opened; another program may use it, it may not send video, or you may "
        "not be in the group video: sudo usermod -aG video $USER"
    )
