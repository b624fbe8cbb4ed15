"""What a camera frame is: pixels, their format, and when they were captured."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class PixelFormat(enum.Enum):
    """Byte order of packed 8-bit pixels in memory. libcamera's "RGB888" is `BGR24` here."""

    BGR24 = "bgr24"
    RGB24 = "rgb24"
    GRAY8 = "gray8"


@dataclass(slots=True, frozen=True)
class Frame:
    """One captured frame.

    Attributes:
        data: uint8, `(height, width, 3)` for BGR24 and RGB24, `(height, width)` for GRAY8; 0-255; rows may be strided.
        format: byte order of `data`.
        captured_s: when the frame was captured, in seconds on the source's own monotonic clock: the monotonic clock
            for live sources, seconds since the first frame for files.
        arrived_s: when this process got the frame, in seconds of `time.monotonic()`.
        sequence: number of the frame at the source, from 0; gaps are frames dropped before they were read.
    """

    data: npt.NDArray[np.uint8]
    format: PixelFormat
    captured_s: float
    arrived_s: float
    sequence: int

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.data.shape[0])

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return int(self.data.shape[1])
