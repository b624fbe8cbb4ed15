"""Contrast, brightness and the strength of each color: another light, another camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar_training.settings import AugmentSettings


def relight(
    frames: npt.NDArray[np.uint8], settings: AugmentSettings, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Change contrast, then brightness, then the gain of each color, in one lookup table of levels.

    Args:
        frames: uint8 `(n, height, width, 3)` RGB.
        settings: limits of the changes.
        rng: source of randomness.

    Returns:
        uint8, same shape, rounded and clipped to 0-255.
    """
    if not (settings.contrast or settings.brightness or settings.colour):
        return frames
    import cv2

    gain = rng.uniform(1 - settings.contrast, 1 + settings.contrast)
    lift = rng.uniform(-settings.brightness, settings.brightness)
    levels = (np.arange(256) - 128) * gain + 128 + lift
    if settings.colour:
        levels = levels[:, None] * rng.uniform(1 - settings.colour, 1 + settings.colour, 3)
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    tall = np.ascontiguousarray(frames).reshape(-1, *frames.shape[2:])
    relit: npt.NDArray[np.uint8] = cv2.LUT(tall, table[None] if settings.colour else table).reshape(frames.shape)
    return relit
