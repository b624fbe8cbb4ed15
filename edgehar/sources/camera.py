"""Frames from a USB or other V4L2 camera, through OpenCV."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import cv2

from edgehar.errors import ConfigError, SourceError
from edgehar.frames import Frame, PixelFormat
from edgehar.sources import jpeg
from edgehar.sources.base import HandleSource, checked_target_size
from edgehar.sources.v4l2 import Mode, Wanted, negotiate

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_log = logging.getLogger(__name__)

# Reads that may fail in a row: drivers drop a frame now and then, and an unplugged camera fails every read at once.
_FAILED_READS = 5
# Frames that may be damaged in a row: the first ones often are, and a busy USB bus cuts frames off.
_DAMAGED_FRAMES = 10


class CameraSource(HandleSource):
    """A V4L2 camera. `captured_s` is the monotonic clock when the driver gave the frame out.

    The camera is asked for YUYV, which is handed on as it is; where it does not have that at the size and rate wanted,
    for MJPG, which is decoded at a reduced size; and else for BGR as OpenCV makes it. What it gives is logged. Damaged
    frames are passed over.

    Attributes:
        name: "camera:N".
    """

    live = True

    def __init__(
        self,
        number: int,
        *,
        width: int | None = None,
        height: int | None = None,
        rate_hz: float | None = None,
        target_size: tuple[int, int] | None = None,
    ) -> None:
        """Open the camera `/dev/videoN`.

        Args:
            number: N.
            width: pixels in a row to ask the driver for, together with `height`; it may give another size.
            height: rows to ask for.
            rate_hz: frames a second to ask for.
            target_size: height and width that frames will be shrunk to. Frames then need not come larger than that is
                good for: JPEG is decoded to no less than twice this size.

        Raises:
            ConfigError: `width` without `height`, or a `target_size` that is none.
            SourceError: there is no such camera, it may not be opened, or it is in use.
        """
        super().__init__()
        self.name = f"camera:{number}"
        if (width is None) != (height is None):
            raise ConfigError(f"{self.name}: width and height go together; give both, or neither")
        self._target_size = checked_target_size(target_size)
        self._wanted = Wanted(None if width is None or height is None else (width, height), rate_hz)
        self._sequence = self._good_frames = 0
        self._unreadable: set[Mode] = set()
        _silence_opencv()
        self._capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceError(_why_not(number))
        # Frames older than one wait in the driver's queue would only be dropped.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._negotiate()

    @classmethod
    def from_uri(cls, uri: str, **options: Any) -> Self:
        """Open `camera:N`; ConfigError when N is not a number."""
        number = uri.removeprefix("camera:")
        if not re.fullmatch(r"[0-9]{1,4}", number):
            raise ConfigError(f"{uri}: the camera is given by its number, for example camera:0")
        return cls(int(number), **options)

    def _negotiate(self) -> None:
        self._offer = negotiate(self._capture, self._wanted, self._unreadable)
        is_jpeg = self._offer.mode is Mode.MJPG
        self._factor = jpeg.reduction(self._offer.height, self._offer.width, self._target_size) if is_jpeg else 1
        reduced = f", decoded at 1/{self._factor} of the size" if self._factor > 1 else ""
        _log.info("%s: %s%s", self.name, self._offer, reduced)

    def _read(self) -> Frame:
        while (frame := self._next()) is None:
            mode = self._offer.mode
            _log.warning("%s: its %s frames cannot be read; asking for others", self.name, mode.value)
            self._unreadable.add(mode)
            self._negotiate()
        return frame

    def _next(self) -> Frame | None:
        """The next frame that is whole; None when the camera gives none of the kind that it promised."""
        failed = damaged = 0
        while failed < _FAILED_READS and damaged < _DAMAGED_FRAMES:
            try:
                got, buffer = self._capture.read()
            except cv2.error:  # what OpenCV could not convert
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
        if damaged < _DAMAGED_FRAMES:
            raise SourceError(
                f"{self.name}: gives no more frames; check that it is plugged in and used by nothing else"
            )
        if self._good_frames or self._offer.mode is Mode.BGR:
            raise SourceError(
                f"{self.name}: {damaged} frames in a row were damaged; try another cable or USB port, or a smaller size"
            )
        return None

    def _picture(self, buffer: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], PixelFormat] | None:
        """What a buffer of OpenCV's holds; None when it is not whole."""
        offer = self._offer
        if buffer.ndim == 3 and buffer.shape[2] == 3:  # converted, asked for or not
            return buffer, PixelFormat.BGR24
        if offer.mode is Mode.YUYV:
            pixels, layout = _yuyv(buffer, offer.height, offer.width), PixelFormat.YUYV
        else:
            pixels, layout = jpeg.decode(buffer.reshape(-1), offer.height, offer.width, self._factor), PixelFormat.BGR24
        return None if pixels is None else (pixels, layout)

    def _release(self) -> None:
        self._capture.release()


def _yuyv(buffer: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8] | None:
    """A buffer as `(height, width, 2)`: OpenCV gives that or, in newer versions, all of the driver's bytes in one row.

    Drivers may pad the rows; None where the bytes are no whole rows, or too few, or the width is odd.
    """
    if buffer.shape == (height, width, 2) and not width % 2:
        return buffer
    line_size, left_over = divmod(buffer.size, height) if height else (0, 1)
    if left_over or line_size % 2 or line_size < 2 * width or width % 2:
        return None
    return buffer.reshape(height, line_size // 2, 2)[:, :width]


def _silence_opencv() -> None:
    # OpenCV prints warnings of its own to stderr; ours say what to do. The function is elsewhere in OpenCV 5.
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)
    else:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


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
