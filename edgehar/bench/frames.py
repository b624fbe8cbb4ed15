"""Frames for measurements: views of one large buffer, so that a frame has left the caches before its next use."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgehar.frames import Frame, plane_shapes

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.frames import PixelFormat

COLD_BYTES = 96_000_000
# Largest share of the free memory to use, because small devices have other work.
_SHARE_OF_FREE = 0.25
_NOISE_BYTES = 1 << 20
# Frames start at a cache line.
_ALIGNMENT = 64


def pool_bytes(largest_cache: int, free: int) -> int:
    """Return the bytes of frames to rotate through, from the sizes of the largest cache and of the free memory.

    Either is 0 when it is not known.
    """
    wanted = max(COLD_BYTES, 3 * largest_cache)
    return min(wanted, int(free * _SHARE_OF_FREE)) if free else wanted


def largest_cache_bytes(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Return the size of the largest cache; 0 if Linux does not report it."""
    sizes = [_size(path.read_text()) for path in root.glob("index*/size")]
    return max(sizes, default=0)


def _size(text: str) -> int:
    number, unit = text.strip()[:-1], text.strip()[-1:]
    return int(number) * {"K": 1 << 10, "M": 1 << 20}[unit]


class FramePool:
    """A buffer of noise from which frames of any size and format are cut.

    Attributes:
        size: bytes of the buffer.
    """

    def __init__(self, size: int) -> None:
        """Make a buffer of `size` bytes."""
        self.size = size
        noise = np.random.default_rng(0).integers(0, 256, _NOISE_BYTES, np.uint8)
        self._buffer = np.resize(noise, size)

    def buffers(self, frame_bytes: int) -> list[npt.NDArray[np.uint8]]:
        """Return as many uint8 `(frame_bytes,)` buffers as fit, at least one, without overlap."""
        step = -(-frame_bytes // _ALIGNMENT) * _ALIGNMENT
        if step > self.size:
            self._buffer, self.size = np.resize(self._buffer, step), step
        return [self._buffer[start : start + frame_bytes] for start in range(0, self.size - step + 1, step)]


def frame_bytes(pixel_format: PixelFormat, height: int, width: int) -> int:
    """Return the bytes of a frame."""
    return sum(math.prod(shape) for shape in plane_shapes(pixel_format, height, width))


def as_frame(buffer: npt.NDArray[np.uint8], pixel_format: PixelFormat, height: int, width: int) -> Frame:
    """Return a frame whose planes follow each other in a uint8 `(n,)` buffer."""
    planes, start = [], 0
    for shape in plane_shapes(pixel_format, height, width):
        end = start + math.prod(shape)
        planes.append(buffer[start:end].reshape(shape))
        start = end
    data = planes[0] if len(planes) == 1 else tuple(planes)
    return Frame(data, pixel_format, captured_s=0.0, arrived_s=0.0, sequence=0)
