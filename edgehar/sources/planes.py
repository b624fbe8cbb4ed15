"""Views of decoded video frames in the decoder's memory, without a copy or a color conversion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar.frames import PixelFormat, YuvMatrix, plane_shapes

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

    from edgehar.frames import Pixels, Plane

# Pixel formats by FFmpeg's names.
_FORMATS = {
    "bgr0": PixelFormat.BGRA32,
    "bgr24": PixelFormat.BGR24,
    "bgra": PixelFormat.BGRA32,
    "gray": PixelFormat.GRAY8,
    "nv12": PixelFormat.NV12,
    "rgb0": PixelFormat.RGBA32,
    "rgb24": PixelFormat.RGB24,
    "rgba": PixelFormat.RGBA32,
    "yuv420p": PixelFormat.I420,
    "yuvj420p": PixelFormat.I420,
    "yuyv422": PixelFormat.YUYV,
}

# Values of `color_space` and `color_range` (ITU-T H.273). SMPTE 240M is within a hundredth of BT.709.
_BT709, _UNSPECIFIED, _BT470BG, _SMPTE170M, _SMPTE240M = 1, 2, 5, 6, 7
_MATRICES = {
    _BT709: YuvMatrix.BT709,
    _SMPTE240M: YuvMatrix.BT709,
    _BT470BG: YuvMatrix.BT601,
    _SMPTE170M: YuvMatrix.BT601,
}
_FULL_RANGE = 2
# Video without a matrix: high definition uses BT.709, smaller video BT.601.
_HIGH_DEFINITION_ROWS = 720


def in_place(decoded: VideoFrame) -> tuple[Pixels, PixelFormat] | None:
    """Return the pixels of a frame as read-only views, which keep the decoder's memory alive.

    Returns:
        Values for `Frame.data` and `Frame.format`, or None if the kernel does not read such pixels.
    """
    layout = _FORMATS.get(decoded.format.name)
    if layout is None or (layout is PixelFormat.YUYV and decoded.width % 2):
        return None
    shapes = plane_shapes(layout, decoded.height, decoded.width)
    planes = decoded.planes
    if any(plane.line_size < 0 for plane in planes):
        return None  # stored from the bottom up
    if len(shapes) == 1:
        return _view(planes[0], shapes[0]), layout
    return tuple(map(_view, planes, shapes)), layout


def yuv_matrix(decoded: VideoFrame) -> YuvMatrix | None:
    """Return the standard of a frame's colors, or None if the kernel does not know it."""
    if decoded.colorspace == _UNSPECIFIED:
        return YuvMatrix.BT709 if decoded.height >= _HIGH_DEFINITION_ROWS else YuvMatrix.BT601
    return _MATRICES.get(decoded.colorspace)


def is_full_range(decoded: VideoFrame) -> bool:
    """Return whether a frame's Y, U and V use all of 0-255. Frames without that information use the limited range."""
    return decoded.color_range == _FULL_RANGE or decoded.format.name.startswith("yuvj")


def _view(plane: VideoPlane, shape: tuple[int, ...]) -> Plane:
    # Read-only, because the decoder predicts later frames from this one.
    samples = memoryview(plane).toreadonly()
    strides = (plane.line_size, 1) if len(shape) == 2 else (plane.line_size, shape[2], 1)
    return np.ndarray(shape, np.uint8, samples, 0, strides)
