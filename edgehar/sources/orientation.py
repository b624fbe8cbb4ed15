"""Turn and mirror decoded pictures as their display matrix says (ISO/IEC 14496-12, 6.2.2)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from av.sidedata.sidedata import SideDataContainer

if TYPE_CHECKING:
    import numpy.typing as npt
    from av.video.frame import VideoFrame

_MATRIX = struct.Struct("=9i")
# Decoders that attach a dictionary to side data (the name of a color profile). PyAV frees it with its wrapper, and the
# frame frees it again, which ends the process.
_WITH_DICTIONARIES = frozenset({"apng", "png"})
# A matrix turns by a multiple of 90 degrees if its small entries are at most this share of the large ones.
_SMALL = 0.05


class Orientation(NamedTuple):
    """How to turn a picture: transpose it first, then mirror it.

    Attributes:
        transpose: exchange rows and columns.
        flip_rows: mirror upside down.
        flip_columns: mirror left to right.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return `(height, width, 3)` pixels turned, as a contiguous array."""
        if self.transpose:
            pixels = pixels.transpose(1, 0, 2)
        rows, columns = (slice(None, None, -1 if flip else None) for flip in (self.flip_rows, self.flip_columns))
        return np.ascontiguousarray(pixels[rows, columns])


UPRIGHT = Orientation()
# By the angle of PyAV in degrees, counterclockwise.
_BY_ROTATION = {
    90: Orientation(transpose=True, flip_rows=True),
    -90: Orientation(transpose=True, flip_columns=True),
    180: Orientation(flip_rows=True, flip_columns=True),
    -180: Orientation(flip_rows=True, flip_columns=True),
}


def orientation(frame: VideoFrame, codec: str) -> Orientation:
    """Return the orientation of a frame.

    Args:
        frame: the frame.
        codec: FFmpeg's name of its decoder. Frames of "png" and "apng" are turned, but not mirrored.
    """
    try:
        found = None if codec in _WITH_DICTIONARIES else _display_matrix(frame)
    except ValueError:
        # PyAV does not know all kinds of side data.
        found = None
    if found is None:
        return _BY_ROTATION.get(frame.rotation, UPRIGHT)
    return from_matrix(bytes(found))


def _display_matrix(frame: VideoFrame) -> Any:
    # Not `frame.side_data`, which the frame would keep: the two would refer to each other, and frames of many MB would
    # wait for the garbage collector.
    return SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]


def from_matrix(content: bytes) -> Orientation:
    """Return the orientation of a display matrix: nine int32, row by row, of which a point is multiplied from the left.

    A matrix that is not a turn by a multiple of 90 degrees, mirrored or not, leaves the picture upright.
    """
    if len(content) < _MATRIX.size:
        return UPRIGHT
    a, b, _, c, d, *_ = _MATRIX.unpack(content[: _MATRIX.size])
    if min(abs(a), abs(d)) > 0 and max(abs(b), abs(c)) <= _SMALL * min(abs(a), abs(d)):
        return Orientation(flip_rows=d < 0, flip_columns=a < 0)
    if min(abs(b), abs(c)) > 0 and max(abs(a), abs(d)) <= _SMALL * min(abs(b), abs(c)):
        return Orientation(transpose=True, flip_rows=b < 0, flip_columns=c < 0)
    return UPRIGHT
