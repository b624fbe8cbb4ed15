"""Resizing frames: edgehar compared with OpenCV, numpy and Pillow, and with reading the bytes once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgehar._ring import FrameRing
from edgehar.bench.chains import cv2_chain, cv2_layout, numpy_chain, pillow_chain
from edgehar.bench.frames import FramePool, as_frame, frame_bytes
from edgehar.bench.readers import readers
from edgehar.bench.results import Other, Preprocess
from edgehar.bench.timing import interleaved
from edgehar.frames import PixelFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.bench.chains import Chain, Pixels
    from edgehar.bench.results import Temperature
    from edgehar.bench.timing import Contender, Protocol

FORMATS = (
    PixelFormat.BGR24,
    PixelFormat.RGB24,
    PixelFormat.GRAY8,
    PixelFormat.BGRA32,
    PixelFormat.I420,
    PixelFormat.NV12,
    PixelFormat.YUYV,
)
# Width and height of camera frames.
SIZES = ((160, 120), (640, 480), (1280, 720), (1920, 1080))
# 60 divides 1080 and 1920, for which OpenCV has a fast path.
UNDIVIDED_SIZE = 64


@dataclass(frozen=True)
class Case:
    """One row: frames of a format and size, resized to `size` x `size`, cold or hot."""

    pixel_format: PixelFormat
    width: int
    height: int
    size: int
    temperature: Temperature

    def __str__(self) -> str:
        return f"{self.pixel_format.value} {self.width}x{self.height} to {self.size}x{self.size}, {self.temperature}"


def cases(size: int) -> list[Case]:
    """Return all rows, in the order of the table."""
    return [case for temperature in ("cold", "hot") for case in _cases(size, temperature)]


def _cases(size: int, temperature: Temperature) -> Iterator[Case]:
    for pixel_format in FORMATS:
        for width, height in SIZES:
            yield Case(pixel_format, width, height, size, temperature)
        if pixel_format is PixelFormat.BGR24 and size != UNDIVIDED_SIZE:
            yield Case(pixel_format, *SIZES[-1], UNDIVIDED_SIZE, temperature)


def measure(case: Case, pool: FramePool, protocol: Protocol) -> Preprocess:
    """Measure one row."""
    size = frame_bytes(case.pixel_format, case.height, case.width)
    buffers = pool.buffers(size)
    if case.temperature == "hot":
        buffers = buffers[:1]
    pixels = [cv2_layout(buffer, case.pixel_format, case.height, case.width) for buffer in buffers]
    chains, skipped = _others(case)
    reading = readers(buffers)
    contenders: dict[str, Contender] = {"edgehar": _ours(case, buffers)}
    contenders |= {name: _on(chain, pixels) for name, chain in chains.items()} | reading
    times = interleaved(contenders, protocol)
    us = times["edgehar"].us
    readers_us = {name: times[name].us for name in reading}
    read_us = min(readers_us.values())
    return Preprocess(
        format=case.pixel_format.value,
        width=case.width,
        height=case.height,
        size=case.size,
        temperature=case.temperature,
        frame_bytes=size,
        us=us,
        others={name: Other(times[name].us, times[name].us / us) for name in chains},
        skipped=skipped,
        readers_us=readers_us,
        read_us=read_us,
        fraction_of_read=read_us / us,
    )


def _ours(case: Case, buffers: list[Pixels]) -> Contender:
    ring = FrameRing(20, case.size, case.size, dtype="int8", scale=1 / 255, zero_point=-128)
    frames = [as_frame(buffer, case.pixel_format, case.height, case.width) for buffer in buffers]
    return lambda n: ring.push(frames[n % len(frames)])


def _on(chain: Chain, pixels: list[Pixels]) -> Contender:
    return lambda n: chain(pixels[n % len(pixels)])


def _others(case: Case) -> tuple[dict[str, Chain], dict[str, str]]:
    """Return the contenders, and why some of them cannot be measured."""
    found: dict[str, Chain] = {"cv2": cv2_chain(case.pixel_format, case.size)}
    skipped = {}
    if case.pixel_format is PixelFormat.BGR24:
        for name, chain, why_not in (
            ("numpy", numpy_chain(case.height, case.width, case.size), "the boxes are not of whole pixels"),
            ("Pillow", pillow_chain(case.size), "not installed"),
        ):
            if chain is None:
                skipped[name] = why_not
            else:
                found[name] = chain
    return found, skipped
