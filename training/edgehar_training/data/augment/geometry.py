"""Flip, shift and zoom: the scene from a little elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar_training.settings import AugmentSettings


class Axis(NamedTuple):
    """The change along one side of the frame.

    Attributes:
        shown: which source row (or column) each row shows, `(size,)`.
        zoom: magnification; below 0 if mirrored.
    """

    shown: npt.NDArray[np.intp]
    zoom: float


def move(
    frames: npt.NDArray[np.uint8],
    settings: AugmentSettings,
    rng: np.random.Generator,
    flow: npt.NDArray[np.int8] | None = None,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8] | None]:
    """Zoom about the center (height and width separately), shift, and mirror every other window, by nearest pixels.

    Args:
        frames: uint8 `(n, height, width, 3)`.
        settings: limits of the changes.
        rng: source of randomness.
        flow: int8 `(n, height, width, 2)` of x and y: mirrored and zoomed in value too.

    Returns:
        Frames and flow, new arrays unless nothing changes. The edge of the frame is repeated where the shift or
        zoom looks beyond it.
    """
    if not (settings.flip or settings.shift or settings.zoom):
        return frames, flow
    rows, columns = _axis(frames.shape[1], settings, rng), _axis(frames.shape[2], settings, rng)
    if settings.flip and rng.random() < 0.5:
        columns = Axis(columns.shown[::-1], -columns.zoom)
    if flow is not None:
        flow = scale_flow(_gather(flow, rows, columns), columns.zoom, rows.zoom)
    return _gather(frames, rows, columns), flow


def scale_flow(flow: npt.NDArray[np.int8], x: float, y: float) -> npt.NDArray[np.int8]:
    """Multiply flow by `x` and `y`, round and clip it: larger or faster motion moves further."""
    scaled: npt.NDArray[np.int8] = np.clip(np.rint(flow * np.array([x, y], np.float32)), -128, 127).astype(np.int8)
    return scaled


def _axis(size: int, settings: AugmentSettings, rng: np.random.Generator) -> Axis:
    zoom = 1 + rng.uniform(-settings.zoom, settings.zoom)
    shift = rng.uniform(-settings.shift, settings.shift) * size
    center = (size - 1) / 2
    positions = (np.arange(size) - center) / zoom + center + shift
    return Axis(np.clip(np.rint(positions), 0, size - 1).astype(np.intp), zoom)


def _gather(pixels: npt.NDArray[Any], rows: Axis, columns: Axis) -> npt.NDArray[Any]:
    """Index rows and columns in one lookup of single bytes: three times as fast as two lookups."""
    count, _, width, channels = pixels.shape
    places = (rows.shown[:, None] * width + columns.shown)[..., None] * channels + np.arange(channels)
    gathered: npt.NDArray[Any] = pixels.reshape(count, -1).take(places.ravel(), axis=1).reshape(pixels.shape)
    return gathered
