"""Camera frames: pixels, their format and their capture time."""

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
    """Memory layout of the 8-bit samples of a frame. It defines the shape of `Frame.data` (height H, width W).

    libcamera names the bytes in reverse order: its "RGB888" is `BGR24` here, its "XRGB8888" `BGRA32` and its
    "XBGR8888" `RGBA32`.

    Attributes:
        BGR24: `(H, W, 3)`: blue, green, red.
        RGB24: `(H, W, 3)`: red, green, blue.
        BGRA32: `(H, W, 4)`: blue, green, red, and an unused byte.
        RGBA32: `(H, W, 4)`: red, green, blue, and an unused byte.
        GRAY8: `(H, W)`: gray levels, read as R = G = B.
        I420: planes Y `(H, W)`, U and V, each `((H + 1) // 2, (W + 1) // 2)`. FFmpeg's yuv420p, libcamera's "YUV420".
        NV12: planes Y `(H, W)` and UV `((H + 1) // 2, (W + 1) // 2, 2)`.
        YUYV: `(H, W, 2)`, W even: Y, then U or V, which each pair of pixels shares. FFmpeg's yuyv422.
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
    """Return the shapes of a frame's planes, in the order of `Frame.data`. Packed formats have one plane."""
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
    """Standard of the conversion between RGB and YUV."""

    BT601 = "bt601"
    BT709 = "bt709"


@dataclass(slots=True, frozen=True)
class Frame:
    """One captured frame.

    Attributes:
        data: uint8, one array or a tuple of planes, with the shape that `format` defines. Rows may be strided.
        format: memory layout of the samples.
        captured_s: capture time in seconds. Live sources use the clock of `time.monotonic`; files count from their
            first frame.
        arrived_s: time at which this process received the frame, in seconds of `time.monotonic`.
        sequence: number of the frame at the source, from 0. Gaps are frames dropped before they were read.
        matrix: for I420, NV12 and YUYV: standard of the colors.
        full_range: for I420, NV12 and YUYV: True if Y, U and V use all of 0-255 (JPEG), False if they use 16-235 and
            16-240.
        cut: True for the first frame after a cut of a joined recording, which does not continue the frames before it.
    """

    data: Pixels
    format: PixelFormat
    captured_s: float
    arrived_s: float
    sequence: int
    matrix: YuvMatrix = YuvMatrix.BT601
    full_range: bool = False
    cut: bool = False

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
