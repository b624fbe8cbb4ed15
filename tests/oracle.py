"""What FrameRing must compute, written for clarity: the reference that tests compare the compiled kernel with.

Images are `(height, width, channels)`, colour order RGB, levels 0-255. Every sum is an integer, so results are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Array = npt.NDArray[Any]


def overlaps(source: int, target: int) -> Array:
    """How much of source cell i lies in target cell j, `(target, source)`, in units of 1/target of a source cell.

    On a line of `source * target` units, source cell i is [i*target, (i+1)*target) and target cell j is
    [j*source, (j+1)*source), so all overlaps are whole numbers and each row sums to `source`.
    """
    i, j = np.arange(source), np.arange(target)[:, None]
    shared = np.minimum((i + 1) * target, (j + 1) * source) - np.maximum(i * target, j * source)
    clipped: Array = np.maximum(shared, 0)
    return clipped


def area_sums(levels: Array, height: int, width: int) -> Array:
    """Weighted sums under each output pixel, int64 `(height, width, channels)`; the weights sum to `H * W`.

    H and W are the source's. The products run in float64, which holds these integers exactly: they stay at or below
    255 * 8192**2 < 2**53.
    """
    down, across = (overlaps(s, t).astype(np.float64) for s, t in zip(levels.shape[:2], (height, width), strict=True))
    channels = [down @ levels[..., c].astype(np.float64) @ across.T for c in range(levels.shape[2])]
    return np.stack(channels, axis=-1).astype(np.int64)


def area_average(levels: Array, height: int, width: int) -> Array:
    """Area averages rounded half up, uint8 `(height, width, channels)`."""
    area = levels.shape[0] * levels.shape[1]
    rounded: Array = (2 * area_sums(levels, height, width) + area) // (2 * area)
    return rounded.astype(np.uint8)


def quantise(levels: Array, scale: float, zero_point: int) -> Array:
    """`levels / 255` (levels may be negative) as TFLite int8: rounded half up, saturated."""
    q = np.floor(levels / 255 / scale + 0.5) + zero_point
    saturated: Array = np.clip(q, -128, 127).astype(np.int8)
    return saturated


def grey(rgb: Array) -> Array:
    """Grey levels `(height, width)`, int64, of RGB levels."""
    red, green, blue = np.moveaxis(rgb.astype(np.int64), -1, 0)
    levels: Array = (77 * red + 150 * green + 29 * blue + 128) >> 8
    return levels


def motion(frames: Sequence[Array]) -> Array:
    """Differences t-(t-1), t-(t-2), |t-(t-1)| of the grey frames, int64 `(frames, height, width, 3)`.

    Before the first frame the scene stood still.
    """
    greys = [grey(frame) for frame in frames]
    pasts = [(g, greys[max(t - 1, 0)], greys[max(t - 2, 0)]) for t, g in enumerate(greys)]
    return np.stack([np.stack([g - g1, g - g2, abs(g - g1)], axis=-1) for g, g1, g2 in pasts])


def ring_frames(
    frames: Sequence[Array],
    height: int,
    width: int,
    dtype: str = "int8",
    scale: float = 1 / 255,
    zero_point: int = -128,
    motion_input: str = "none",
) -> Array:
    """What a FrameRing holds after these RGB frames are pushed in turn: `(frames, height, width, 3)` of `dtype`."""
    levels = np.stack([area_average(frame, height, width) for frame in frames])
    values: Array = levels
    if motion_input != "none":
        values = motion(list(levels))
    elif dtype == "float32":
        values = np.stack([area_sums(f, height, width) / (f.shape[0] * f.shape[1]) for f in frames])
    if dtype == "float32":
        return np.divide(values, 255).astype(np.float32)
    return quantise(values, scale, zero_point) if dtype == "int8" else values
