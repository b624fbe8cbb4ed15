"""Resize a frame to int8 with other libraries: OpenCV, numpy, Pillow. Each function returns `(size, size, 3)` RGB."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edgehar.frames import PixelFormat

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    import numpy.typing as npt

    Pixels: TypeAlias = npt.NDArray[np.uint8]
    Levels: TypeAlias = npt.NDArray[np.int8]
    Chain: TypeAlias = Callable[[Pixels], Levels]

# Formats that OpenCV resizes first and converts when they are small, and formats that it must convert first.
_AFTER = {
    PixelFormat.BGR24: cv2.COLOR_BGR2RGB,
    PixelFormat.BGRA32: cv2.COLOR_BGRA2RGB,
    PixelFormat.RGBA32: cv2.COLOR_RGBA2RGB,
    PixelFormat.GRAY8: cv2.COLOR_GRAY2RGB,
    PixelFormat.RGB24: None,
}
_BEFORE = {
    PixelFormat.I420: cv2.COLOR_YUV2RGB_I420,
    PixelFormat.NV12: cv2.COLOR_YUV2RGB_NV12,
    PixelFormat.YUYV: cv2.COLOR_YUV2RGB_YUYV,
}


def cv2_layout(buffer: Pixels, pixel_format: PixelFormat, height: int, width: int) -> Pixels:
    """Return the bytes of a frame, uint8 `(n,)`, as an array for OpenCV: planes are rows below each other."""
    if pixel_format in (PixelFormat.I420, PixelFormat.NV12):
        return buffer.reshape(height * 3 // 2, width)
    return buffer.reshape(height, width, -1).squeeze()


def cv2_chain(pixel_format: PixelFormat, size: int) -> Chain:
    """Run the usual chain: area average, colors, levels; colors first if OpenCV cannot average the format."""
    out = np.empty((size, size, 3), np.int8)
    if pixel_format in _BEFORE:
        return functools.partial(_convert_first, out=out, code=_BEFORE[pixel_format])
    return functools.partial(_shrink_first, out=out, code=_AFTER[pixel_format])


def _shrink_first(pixels: Pixels, out: Levels, code: int | None) -> Levels:
    small = cv2.resize(pixels, out.shape[1::-1], interpolation=cv2.INTER_AREA)
    return _to_levels(small if code is None else cv2.cvtColor(small, code), out)


def _convert_first(pixels: Pixels, out: Levels, code: int) -> Levels:
    colors = cv2.cvtColor(pixels, code)
    return _to_levels(cv2.resize(colors, out.shape[1::-1], interpolation=cv2.INTER_AREA), out)


def _to_levels(rgb: Pixels, out: Levels) -> Levels:
    np.subtract(rgb, 128, out=out.view(np.uint8))
    return out


def numpy_chain(height: int, width: int, size: int) -> Chain | None:
    """Average boxes of BGR pixels; returns None if the boxes are not whole pixels."""
    if height % size or width % size:
        return None

    def chain(pixels: Pixels) -> Levels:
        means = pixels.reshape(size, height // size, size, width // size, 3).mean(axis=(1, 3))
        levels: Levels = (np.rint(means)[..., ::-1] - 128).astype(np.int8)
        return levels

    return chain


def pillow_chain(size: int) -> Chain | None:
    """Apply Pillow's box filter to BGR pixels; returns None if Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return None

    def chain(pixels: Pixels) -> Levels:
        small: Any = np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BOX))
        levels: Levels = (small[..., ::-1] - np.uint8(128)).view(np.int8)
        return levels

    return chain
