"""Convert frames of any format to BGR or JPEG pictures, with the same color rule as the network input."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from edgehar._ring import Resizer
from edgehar.frames import PixelFormat

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.frames import Frame


def as_bgr(frame: Frame) -> npt.NDArray[np.uint8]:
    """Return the pixels of a frame in the order that OpenCV and most viewers expect.

    Args:
        frame: any format, 8 to 8192 pixels a side.

    Returns:
        uint8 `(height, width, 3)`, blue, green, red, 0-255. It is the frame's own array if the frame is BGR24, else a
        new array.

    Raises:
        TypeError: the frame's data is not uint8.
        ValueError: the shape does not match the format, or the size is out of range.
    """
    if frame.format is PixelFormat.BGR24 and isinstance(frame.data, np.ndarray):
        return frame.data
    rgb = _resizer(frame.height, frame.width).resize(frame)
    return np.ascontiguousarray(rgb[..., ::-1])


@functools.lru_cache(maxsize=2)
def _resizer(height: int, width: int) -> Resizer:
    """Return a resizer that keeps the frame's size. Threads may share it, because its calls are serialized."""
    return Resizer(height, width, dtype="uint8")
