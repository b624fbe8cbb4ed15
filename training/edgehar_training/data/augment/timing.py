"""Change the timing of a clip: take a part of it, faster or slower, with frames lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar_training.settings import AugmentSettings


class Timing(NamedTuple):
    """The change of the time of a clip before a window is taken.

    Attributes:
        first: the first remaining frame.
        beyond: the frame after the last remaining frame, above `first`.
        speed: how much faster the clip is shown.
    """

    first: int
    beyond: int
    speed: float


def random_timing(frames: int, settings: AugmentSettings, rng: np.random.Generator) -> Timing:
    """Leave out up to `temporal_crop` of a clip of `frames` frames at its ends, and change its speed."""
    first, beyond, speed = 0, frames, 1.0
    if settings.on and settings.temporal_crop:
        left = max(1, round(frames * (1 - rng.uniform(0, settings.temporal_crop))))
        first = int(rng.integers(frames - left + 1))
        beyond = first + left
    if settings.on and settings.speed:
        speed = rng.uniform(1 - settings.speed, 1 + settings.speed)
    return Timing(first, beyond, speed)


def lose_frames(
    indices: npt.NDArray[np.intp], settings: AugmentSettings, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Replace each frame of a window but the first by the frame before it, with probability `frame_dropout`."""
    if not (settings.on and settings.frame_dropout):
        return indices
    kept = rng.random(len(indices)) >= settings.frame_dropout
    kept[0] = True
    return indices[np.maximum.accumulate(np.where(kept, np.arange(len(indices)), 0))]
