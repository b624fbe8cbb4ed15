"""Random changes of a training window that do not change its action, the same for all of its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar_training.data.augment.colour import relight
from edgehar_training.data.augment.geometry import move
from edgehar_training.data.augment.quality import soften
from edgehar_training.data.augment.timing import Timing, lose_frames, random_timing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgehar_training.settings import AugmentSettings

__all__ = ["Timing", "augment", "lose_frames", "move", "random_timing", "relight", "soften"]


def augment(
    frames: npt.NDArray[np.uint8],
    settings: AugmentSettings,
    rng: np.random.Generator,
    flow: npt.NDArray[np.int8] | None = None,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8] | None]:
    """Flip, shift, zoom, relight, blur and add noise to a window. A setting of 0 costs nothing.

    Args:
        frames: uint8 `(n, height, width, 3)` RGB.
        settings: limits of the changes.
        rng: source of randomness.
        flow: int8 `(n, height, width, 2)`, moved along with the frames.

    Returns:
        Frames and flow of the same shapes; changed arrays are copies.
    """
    if not settings.on:
        return frames, flow
    frames, flow = move(frames, settings, rng, flow)
    return soften(relight(frames, settings, rng), settings, rng), flow
