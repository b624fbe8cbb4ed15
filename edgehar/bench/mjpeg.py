"""Pictures of an MJPEG camera: decoded no larger than needed and resized, compared with full decoding."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import cv2

from edgehar._ring import FrameRing
from edgehar.bench.chains import cv2_chain
from edgehar.bench.photo import photo
from edgehar.bench.results import Jpeg, Other
from edgehar.bench.timing import interleaved
from edgehar.frames import PixelFormat
from edgehar.sources.jpeg import decode, reduction

if TYPE_CHECKING:
    from edgehar.bench.chains import Pixels
    from edgehar.bench.timing import Protocol

SIZES = ((640, 480), (1280, 720), (1920, 1080))
# Webcams send colors at half the width.
_ENCODING = (cv2.IMWRITE_JPEG_QUALITY, 85, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422)


def measure(width: int, height: int, size: int, protocol: Protocol) -> Jpeg:
    """Measure pictures of one size, resized to `size` x `size`."""
    files = _files(height, width)
    ring, chain = FrameRing(20, size, size), cv2_chain(PixelFormat.BGR24, size)
    factor = reduction(height, width, (size, size))

    def edgehar(n: int, factor: int = factor) -> None:
        pixels = decode(files[n % len(files)], height, width, factor)
        assert pixels is not None, "a file just encoded is whole"
        ring.push(pixels)

    def full(n: int) -> None:
        edgehar(n, 1)

    def opencv(n: int) -> None:
        pixels: Any = cv2.imdecode(files[n % len(files)], cv2.IMREAD_COLOR)
        chain(pixels)

    times = interleaved({"edgehar": edgehar, "full": full, "cv2": opencv}, protocol)
    us = times["edgehar"].us
    others = {name: Other(times[name].us, times[name].us / us) for name in ("full", "cv2")}
    return Jpeg(
        width=width,
        height=height,
        size=size,
        jpeg_bytes=round(statistics.mean(file.size for file in files)),
        reduction=factor,
        us=us,
        full=others["full"],
        cv2=others["cv2"],
    )


def _files(height: int, width: int) -> list[Pixels]:
    """Return four different files: a picture, upside down, and both mirrored."""
    picture = photo(1, height, width)
    turned = [picture[::rows, ::columns] for rows in (1, -1) for columns in (1, -1)]
    return [cv2.imencode(".jpg", pixels, _ENCODING)[1] for pixels in turned]
