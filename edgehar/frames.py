"""What a camera frame is: pixels, their format, and when they were captured."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Plane: TypeAlias = npt.NDArray[np.uint8]
    Pixels: TypeAlias = Plane | tuple[Plane, ...]


class PixelFormat(enum.Enum):
    """How the 8-bit samples of a frame lie in memory, and with it the shape of `Frame.data` (height H, width W).

    libcamera names bytes from the last to the first: its "RGB888" is `BGR24` here, its "XRGB8888" `BGRA32` and its
    "XBGR8888" `RGBA32`.

    Attributes:
        BGR24: `(H, W, 3)`: blue, green, red.
        RGB24: `(H, W, 3)`: red, green, blue.
        BGRA32: `(H, W, 4)`: blue, green, red, and a byte that is not looked at.
        RGBA32: `(H, W, 4)`: red, green, blue, and a byte that is not looked at.
        GRAY8: `(H, W)`: grey levels, taken as R = G = B.
        I420: planes Y `(H, W)`, U and V, each `((H + 1) // 2, (W + 1) // 2)`. FFmpeg's yuv420p, libcamera's "YUV420".
        NV12: planes Y `(H, W)` and UV `((H + 1) // 2, (W + 1) // 2, 2)`.
        YUYV: `(H, W, 2)`, W even: Y, and in turn U and V of this and the next pixel. FFmpeg's yuyv422.
    """

    BGR24 = "bgr24"
    RGB24 = "rgb24"
    BGRA32 = "bgra32"
    RGBA32 = "rgba32"
    GRAY8 = "gray8"
    I420 = "i420"
    NV12 = "nv12"
    YUYV = "yuyv"


_BYTES_A_PIXEL = {PixelFormat.BGR24: 3, PixelFormat.RGB24: 3, PixelFormat.BGRA32: 4, PixelFormat.RGBA32: 4}


def plane_shapes(pixel_format: PixelFormat, height: int, width: int) -> tuple[tuple[int, ...], ...]:
    """The shapes of the planes of a frame, in the order of `Frame.data`; one for a format that has no planes."""
    half = ((height + 1) // 2, (width + 1) // 2)
    if pixel_format is PixelFormat.I420:
        return (height, width), half, half
    if pixel_format is PixelFormat.NV12:
        return (height, width), (*half, 2)
    if pixel_format is PixelFormat.GRAY8:
        return ((height, width),)
    if pixel_format is PixelFormat.YUYV:
        return ((height, width, 2),)
    return ((height, width, _BYTES_A_PIXEL[pixel_format]),)


class YuvMatrix(enum.Enum):
    """The standard that says how red, green and blue were mixed into Y, U and V."""

    BT601 = "bt601"
    BT709 = "bt709"


@dataclass(slots=True, frozen=True)
class Frame:
    """One captured frame.

    Attributes:
        data: uint8, one array or a tuple of planes, of the shape that `format` says; rows may be strided.
        format: how the samples lie in memory.
        captured_s: when the frame was captured, in seconds on the source's own monotonic clock: the monotonic clock
            for live sources, seconds since the first frame for files.
        arrived_s: when this process got the frame, in seconds of `time.monotonic()`.
        sequence: number of the frame at the source, from 0; gaps are frames dropped before they were read.
        matrix: for I420, NV12 and YUYV, the standard of their colours.
        full_range: for I420, NV12 and YUYV, whether Y, U and V use all of 0-255 (JPEG) rather than 16-235 and 16-240.
    """

    data: Pixels
    format: PixelFormat
    captured_s: float
    arrived_s: float
    sequence: int
    matrix: YuvMatrix = YuvMatrix.BT601
    full_range: bool = False

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self._first_plane().shape[0])

    @property
    def width(self) -> int:
        """Pixels in a row."""
        return int(self._first_plane().shape[1])

    def _first_plane(self) -> Plane:
        return self.data[0] if isinstance(self.data, tuple) else self.data
