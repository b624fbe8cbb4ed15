"""Targets of the kernel: cold frames, 60x60 int8, one thread, on an x86-64 machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgehar.bench.results import Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgehar.bench.results import Jpeg, Preprocess, Threads


@dataclass(frozen=True)
class _Row:
    """Targets of a row of the preprocessing table; None for no target."""

    pixel_format: str
    width: int
    height: int
    size: int
    fraction: float | None
    ratio: float
    us: float | None = None


_ROWS = (
    _Row("bgr24", 640, 480, 60, 0.8, 12),
    _Row("bgr24", 1280, 720, 60, 0.8, 16),
    _Row("bgr24", 1920, 1080, 60, 0.8, 7),
    _Row("bgr24", 1920, 1080, 64, 0.8, 18),
    _Row("i420", 640, 480, 60, 0.6, 12),
    _Row("nv12", 640, 480, 60, 0.6, 12),
    _Row("yuyv", 640, 480, 60, 0.6, 10),
    _Row("bgr24", 160, 120, 60, None, 2.4, us=25),
)
# Of these, the size of the picture and of what it is shrunk to, or the latter and cold frames, and the ratio.
_JPEG, _JPEG_RATIO = (640, 480, 60), 2.0
_THREADS, _SCALING = (60, "cold"), 1.7


def check(preprocess: Sequence[Preprocess], jpeg: Sequence[Jpeg], threads: Sequence[Threads]) -> list[Target]:
    """Return every target with the measured figure."""
    targets = [target for row in _ROWS for target in _of_row(row, preprocess)]
    pictures = next((p.cv2.ratio for p in jpeg if (p.width, p.height, p.size) == _JPEG), None)
    targets.append(_target("MJPEG 640x480, against full decoding and cv2", _JPEG_RATIO, pictures))
    scaling = next((t.scaling for t in threads if (t.size, t.temperature) == _THREADS), None)
    targets.append(_target("two threads, against one", _SCALING, scaling))
    return targets


def _of_row(row: _Row, preprocess: Sequence[Preprocess]) -> Iterator[Target]:
    name = f"{row.pixel_format} {row.width}x{row.height} to {row.size}x{row.size}"
    key = (row.pixel_format, row.width, row.height, row.size, "cold")
    found = next((p for p in preprocess if (p.format, p.width, p.height, p.size, p.temperature) == key), None)
    if row.fraction is not None:
        yield _target(
            f"{name}, of read bandwidth", row.fraction, None if found is None else found.fraction_of_read, unit=""
        )
    yield _target(f"{name}, against cv2", row.ratio, None if found is None else found.others["cv2"].ratio)
    if row.us is not None:
        yield _target(f"{name}, time", row.us, None if found is None else found.us, unit=" us", at_most=True)


def _target(what: str, wanted: float, measured: float | None, *, unit: str = "x", at_most: bool = False) -> Target:
    reached = None if measured is None else measured <= wanted if at_most else measured >= wanted
    return Target(what, wanted, measured, at_most, unit, reached)
