"""Camera frames of noise in every pixel format and memory layout, made from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from edgehar import Frame, FrameRing, PixelFormat
from edgehar.frames import YuvMatrix

# How the rows of a plane lie: adjacent, with bytes between them, from the last to the first, every second row of a
# taller plane, or all the same row.
LAYOUTS = ("packed", "padded", "flipped", "alternate", "repeated")


def plane_shapes(pixel_format: PixelFormat, height: int, width: int) -> list[tuple[int, ...]]:
    """The shapes of the planes of a `height` x `width` frame."""
    half = (height + 1) // 2, (width + 1) // 2
    match pixel_format:
        case PixelFormat.BGR24 | PixelFormat.RGB24:
            return [(height, width, 3)]
        case PixelFormat.BGRA32 | PixelFormat.RGBA32:
            return [(height, width, 4)]
        case PixelFormat.GRAY8:
            return [(height, width)]
        case PixelFormat.YUYV:
            return [(height, width, 2)]
        case PixelFormat.I420:
            return [(height, width), half, half]
        case PixelFormat.NV12:
            return [(height, width), (*half, 2)]


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise whose averages reach the ends of the range: each plane has its own black and white shares."""
    ends = np.sort(rng.integers(-200, 456, 2))
    levels = np.clip(np.linspace(*ends, 256).round(), 0, 255).astype(np.uint8)
    return levels[rng.integers(0, 256, shape, np.uint8)]


def laid_out(plane: np.ndarray, layout: str, rng: np.random.Generator) -> np.ndarray:
    """The same levels in another memory layout, in a buffer that ends with the plane's last byte."""
    if layout == "packed":
        return plane.copy()
    if layout == "flipped":
        return plane[::-1].copy()[::-1]
    if layout == "repeated":
        return np.broadcast_to(plane[:1].copy(), plane.shape)
    rows, row_bytes = plane.shape[0], plane[0].size
    stride = 2 * row_bytes if layout == "alternate" else row_bytes + int(rng.integers(1, 65))
    start = int(rng.integers(0, 17))
    buffer = rng.integers(0, 256, start + stride * (rows - 1) + row_bytes, np.uint8)
    view = np.lib.stride_tricks.as_strided(buffer[start:], plane.shape, (stride, *plane.strides[1:]))
    view[:] = plane
    return view


def random_frame(
    seed: int,
    pixel_format: PixelFormat,
    height: int,
    width: int,
    layout: str = "packed",
    matrix: YuvMatrix = YuvMatrix.BT601,
    full_range: bool = False,
) -> Frame:
    """A frame of noise; YUYV gets an even width."""
    rng = np.random.default_rng(seed)
    width -= width % 2 if pixel_format is PixelFormat.YUYV else 0
    planes = [laid_out(noise(rng, s), layout, rng) for s in plane_shapes(pixel_format, height, width)]
    return as_frame(planes[0] if len(planes) == 1 else tuple(planes), pixel_format, matrix, full_range)


def as_frame(
    data: Any, pixel_format: PixelFormat, matrix: YuvMatrix = YuvMatrix.BT601, full_range: bool = False
) -> Frame:
    return Frame(data, pixel_format, captured_s=0.0, arrived_s=0.0, sequence=0, matrix=matrix, full_range=full_range)


def bgr_image(seed: int, height: int, width: int) -> np.ndarray:
    """A uint8 `(height, width, 3)` array of noise."""
    return noise(np.random.default_rng(seed), (height, width, 3))


def bgr_frame(image: np.ndarray) -> Frame:
    return as_frame(image, PixelFormat.BGR24)


def shrunk(frame: Any, height: int, width: int, dtype: str = "uint8", **options: Any) -> np.ndarray:
    """What a ring makes of one frame."""
    ring = FrameRing(1, height, width, dtype=dtype, **options)
    ring.push(frame)
    return ring.latest().copy()


SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.integers(8, 300)
TARGETS = st.integers(1, 72)
FRAMES = st.builds(
    random_frame,
    SEEDS,
    st.sampled_from(PixelFormat),
    SIDES,
    SIDES,
    st.sampled_from(LAYOUTS),
    st.sampled_from(YuvMatrix),
    st.booleans(),
)
