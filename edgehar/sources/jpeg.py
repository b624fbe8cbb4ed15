"""Decode JPEG pictures of a camera at a reduced size, which skips most of the decoder's work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from edgehar.sources.headers import picture_size

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
# The decoder reduces more coarsely than Resizer does. Leave at least two pixels per output pixel in each direction.
_OVERSAMPLING = 2
_START, _END = b"\xff\xd8", b"\xff\xd9"


def reduction(height: int, width: int, target_size: tuple[int, int] | None) -> int:
    """Return the factor to divide a picture's sides by while decoding: 1, 2, 4 or 8.

    Args:
        height: rows of the picture.
        width: columns of the picture.
        target_size: rows and columns it will be resized to; None if unknown.

    Returns:
        The largest factor that leaves at least twice the target size in both directions.
    """
    if target_size is None:
        return 1
    rows, columns = target_size
    fits = [f for f in _FLAGS if -(-height // f) >= _OVERSAMPLING * rows and -(-width // f) >= _OVERSAMPLING * columns]
    return max(fits, default=1)


def decode(data: npt.NDArray[np.uint8], height: int, width: int, factor: int) -> npt.NDArray[np.uint8] | None:
    """Decode a picture at 1/factor of its size.

    Args:
        data: uint8 `(n,)`, the file; zeros after its end are ignored.
        height: expected rows of the picture.
        width: expected columns.
        factor: 1, 2, 4 or 8.

    Returns:
        uint8 BGR with the sides divided by the factor, rounded up; None if the picture is truncated, visibly damaged,
        or has another size.
    """
    content = data.tobytes().rstrip(b"\0")
    # Some decoders return a truncated picture with the rest in gray.
    if not (content.startswith(_START) and content.endswith(_END)):
        return None
    # A header that claims another size would make the decoder allocate it.
    if picture_size(content) != (width, height):
        return None
    try:
        pixels: npt.NDArray[np.uint8] | None = cv2.imdecode(data, _FLAGS[factor] | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    expected = (-(-height // factor), -(-width // factor), 3)
    return pixels if pixels is not None and pixels.shape == expected else None
