"""Frames as pictures to look at: every format turned into BGR pixels by the kernel, with its one rule for colours."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from edgehar._ring import FrameRing
from edgehar.frames import PixelFormat

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.frames import Frame


def as_bgr(frame: Frame) -> npt.NDArray[np.uint8]:
    """The pixels of a frame as OpenCV and most programs that show pictures want them.

    Args:
        frame: of any format, 8 to 8192 pixels a side.

    Returns:
        uint8 `(height, width, 3)`, blue, green, red, 0-255: the frame's own array when that is what it holds, else a
        new one.

    Raises:
        TypeError: the frame's data is not of uint8.
        ValueError: another shape than its format has, or another size.
    """
    if frame.format is PixelFormat.BGR24 and isinstance(frame.data, np.ndarray):
        return frame.data
    rgb = np.empty((frame.height, frame.width, 3), np.uint8)
    _ring(frame.height, frame.width).shrink_into(frame, rgb)
    return np.ascontiguousarray(rgb[..., ::-1])


def as_jpeg(frame: Frame) -> bytes:
    """A frame as a JPEG file; raises as `as_bgr`."""
    import cv2

    _, encoded = cv2.imencode(".jpg", as_bgr(frame))
    return encoded.tobytes()


@functools.lru_cache(maxsize=2)
def _ring(height: int, width: int) -> FrameRing:
    """A ring that keeps the size of the frames. It may serve several threads: they wait for each other."""
    return FrameRing(1, height, width, dtype="uint8")
