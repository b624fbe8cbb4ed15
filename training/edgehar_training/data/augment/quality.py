"""Blur and noise: a lens out of focus, a sensor in the dark."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar_training.settings import AugmentSettings

# Under this deviation a Gaussian blur changes nothing that can be seen.
_LEAST_BLUR = 0.1
_POOL = 1 << 21


def soften(frames: npt.NDArray[np.uint8], settings: AugmentSettings, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Blur with a Gaussian and add Gaussian noise.

    Both deviations are uniform from 0 to their limit, and the same for all frames of a window. The noise differs from
    frame to frame, as sensor noise does.

    Args:
        frames: uint8 `(n, height, width, 3)`.
        settings: the largest deviations, in pixels and in levels of 255.
        rng: source of randomness.

    Returns:
        uint8, same shape.
    """
    if settings.blur:
        frames = _blurred(frames, rng.uniform(0, settings.blur))
    if settings.noise:
        frames = _noisy(frames, rng.uniform(0, settings.noise), rng)
    return frames


def _blurred(frames: npt.NDArray[np.uint8], deviation: float) -> npt.NDArray[np.uint8]:
    import cv2

    if deviation < _LEAST_BLUR:
        return frames
    blurred = np.empty_like(frames)
    for source, target in zip(frames, blurred, strict=True):
        cv2.GaussianBlur(source, (0, 0), deviation, dst=target, borderType=cv2.BORDER_REPLICATE)
    return blurred


def _noisy(frames: npt.NDArray[np.uint8], deviation: float, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    import cv2

    # Drawing this many normal numbers would take as long as everything else, so pieces of a pool are used.
    pool, noisy, size = _pool(), np.empty_like(frames), frames[0].size
    for source, target in zip(frames, noisy, strict=True):
        if size <= _POOL:
            begin = int(rng.integers(_POOL - size + 1))
            grain = pool[begin : begin + size].reshape(source.shape)
        else:
            grain = rng.standard_normal(source.shape, np.float32)
        cv2.addWeighted(source, 1.0, grain, deviation, 0.0, dst=target, dtype=cv2.CV_8U)
    return noisy


@functools.cache
def _pool() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(_POOL, np.float32)
