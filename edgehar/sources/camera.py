"""Frames from a USB or other V4L2 camera, through OpenCV."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Self

import cv2

from edgehar.errors import ConfigError, SourceError
from edgehar.frames import Frame, PixelFormat
from edgehar.sources.base import HandleSource

# Reads that may fail in a row: drivers drop a frame now and then, and an unplugged camera fails every read at once.
_FAILED_READS = 5


class CameraSource(HandleSource):
    """A V4L2 camera. `captured_s` is the monotonic clock when the driver gave the frame out.

    Attributes:
        name: "camera:N".
    """

    live = True

    def __init__(
        self, number: int, *, width: int | None = None, height: int | None = None, rate_hz: float | None = None
    ) -> None:
        """Open the camera `/dev/videoN`.

        Args:
            number: N.
            width: pixels in a row to ask the driver for; it may give another size.
            height: rows to ask for.
            rate_hz: frames a second to ask for.

        Raises:
            SourceError: there is no such camera, it may not be opened, or it is in use.
        """
        super().__init__()
        self.name = f"camera:{number}"
        self._sequence = 0
        # OpenCV prints warnings of its own to stderr; ours say what to do.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceError(_why_not(number))
        # Frames older than one wait in the driver's queue would only be dropped.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        wanted = ((cv2.CAP_PROP_FRAME_WIDTH, width), (cv2.CAP_PROP_FRAME_HEIGHT, height), (cv2.CAP_PROP_FPS, rate_hz))
        for setting, value in wanted:
            if value is not None:
                self._capture.set(setting, value)

    @classmethod
    def from_uri(cls, uri: str, **options: Any) -> Self:
        """Open `camera:N`; ConfigError when N is not a number."""
        number = uri.removeprefix("camera:")
        if not re.fullmatch(r"[0-9]{1,4}", number):
            raise ConfigError(f"{uri}: the camera is given by its number, for example camera:0")
        return cls(int(number), **options)

    def _read(self) -> Frame:
        for _ in range(_FAILED_READS):
            got, pixels = self._capture.read()
            if got:
                now_s = time.monotonic()
                self._sequence += 1
                return Frame(pixels, PixelFormat.BGR24, now_s, now_s, self._sequence - 1)
        raise SourceError(f"{self.name}: gives no more frames; check that it is plugged in and used by nothing else")

    def _release(self) -> None:
        self._capture.release()


def _why_not(number: int) -> str:
    device = Path(f"/dev/video{number}")
    others = sorted(str(path) for path in Path("/dev").glob("video*"))
    if not device.exists():
        listed = ", ".join(others) or "none"
        return f"no camera {number} ({device} is not there; cameras: {listed}); plug one in, or try --source FILE"
    return (
        f"camera {number} ({device}) cannot be opened; it may be in use by another program, not give video, or need "
        "you in the group video: sudo usermod -aG video $USER"
    )
