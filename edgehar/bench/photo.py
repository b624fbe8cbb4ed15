"""Pictures as hard to encode as a camera's: neither noise nor flat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

# Standard deviations, in levels, of brightness and color at the largest scale, and of sensor noise.
_BRIGHTNESS, _COLOR, _SENSOR_NOISE = 40.0, 12.0, 2.5
# Detail of half the size has this share of the contrast, near the 1/f of photographs.
_FALL_OFF = 0.74
_OBJECTS = 40
_MEAN = 118.0


def photo(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return a picture with shapes at all scales, edges, and sensor noise: uint8 `(height, width, 3)` BGR."""
    rng = np.random.default_rng(seed)
    scene = cv2.merge([_fractal(rng, height, width, 1)] * 3) * np.float32(_BRIGHTNESS)
    # Eyes and encoders see less detail in colors.
    colors = _fractal(rng, height // 4, width // 4, 3) * _COLOR + _MEAN
    scene += cv2.resize(colors, (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(_OBJECTS):
        _add_object(rng, scene)
    scene += rng.standard_normal(scene.shape, np.float32) * _SENSOR_NOISE
    picture: npt.NDArray[np.uint8] = np.clip(scene, 0, 255).astype(np.uint8)
    return picture


def _fractal(rng: np.random.Generator, height: int, width: int, channels: int) -> npt.NDArray[np.float32]:
    """Return noise at every scale from half the picture to two pixels, float32 `(height, width, channels)`."""
    total = np.zeros((height, width, channels), np.float32)
    sides = [height >> octave for octave in range(1, height.bit_length() - 1)]
    for order, rows in enumerate(reversed(sides)):
        octave = rng.standard_normal((rows, rows * width // height, channels), np.float32)
        grown = cv2.resize(octave, (width, height), interpolation=cv2.INTER_CUBIC)
        total += _FALL_OFF**order * grown.reshape(total.shape)
    return total


def _add_object(rng: np.random.Generator, scene: npt.NDArray[np.float32]) -> None:
    """Return a shape with a sharp outline, brighter or darker than its background."""
    height, width = scene.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    center = (int(rng.integers(width)), int(rng.integers(height)))
    axes = (int(rng.integers(4, width // 6)), int(rng.integers(4, height // 4)))
    cv2.ellipse(mask, center, axes, float(rng.integers(180)), 0, 360, 1, -1)
    scene += mask[..., None] * rng.normal(0, 20, 3).astype(np.float32)
