"""Windows from which the ranges of int8 values are taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import ConversionError

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar_training.runs.run import Run

# One window of each clip if there are enough clips, otherwise several.
CALIBRATION_WINDOWS = 128


def calibration_windows(run: Run) -> npt.NDArray[np.int8]:
    """Return the windows of the training split that give the ranges, drawn with the seed of the run.

    Returns:
        int8 `(n, window, height, width, 3)`.

    Raises:
        ConversionError: the training split has no clip.
    """
    clips, window = run.clips("train"), run.config.network.window
    if not clips:
        raise ConversionError(f"{run.path}: the training split has no clip to take ranges from; train the run again")
    rng = np.random.default_rng(run.config.split.seed)
    order = rng.permutation(len(clips))[:CALIBRATION_WINDOWS]
    windows = []
    for count, index in enumerate(order):
        stream = run.stream(clips[index])
        # Few clips give several windows each.
        share = CALIBRATION_WINDOWS // len(order) + (count < CALIBRATION_WINDOWS % len(order))
        windows += [stream[start : start + window] for start in rng.integers(len(stream) - window + 1, size=share)]
    return np.stack(windows)
