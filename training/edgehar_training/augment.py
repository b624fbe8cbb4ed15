"""Random changes of a training window that do not change its action, the same for all of its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_SHIFT = 0.1  # of the frame's side
MAX_ZOOM = 0.15  # in or out
MAX_CONTRAST = 0.25  # gain of 1 - this to 1 + this
MAX_BRIGHTNESS = 24.0  # levels of 255


def augment(frames: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Flip, shift, zoom and relight a window.

    Args:
        frames: uint8 `(n, height, width, 3)` RGB.
        rng: where the randomness comes from.

    Returns:
        uint8, same shape, a new array. The edge of the frame is repeated where the shift or zoom looks beyond it.
    """
    rows = _axis(frames.shape[1], rng)
    columns = _axis(frames.shape[2], rng)
    if rng.random() < 0.5:
        columns = columns[::-1]
    gain = rng.uniform(1 - MAX_CONTRAST, 1 + MAX_CONTRAST)
    lift = rng.uniform(-MAX_BRIGHTNESS, MAX_BRIGHTNESS)
    levels = np.clip(np.rint((np.arange(256) - 128) * gain + 128 + lift), 0, 255).astype(np.uint8)
    relit: npt.NDArray[np.uint8] = levels.take(frames.take(rows, axis=1).take(columns, axis=2))
    return relit


def _axis(size: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Which source row (or column) each row shows after a random zoom about the centre and a random shift."""
    zoom = 1 + rng.uniform(-MAX_ZOOM, MAX_ZOOM)
    shift = rng.uniform(-MAX_SHIFT, MAX_SHIFT) * size
    centre = (size - 1) / 2
    positions = (np.arange(size) - centre) / zoom + centre + shift
    nearest: npt.NDArray[np.intp] = np.clip(np.rint(positions), 0, size - 1).astype(np.intp)
    return nearest
