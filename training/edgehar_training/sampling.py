"""Which frames of a clip make a window: those on the model's time grid, in training from a random start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar.timegrid import TimeGrid
from edgehar_training.preprocess import HISTORY

if TYPE_CHECKING:
    import numpy.typing as npt


def grid_indices(times_s: npt.NDArray[np.float64], rate_hz: float, first: int = 0) -> npt.NDArray[np.intp]:
    """Frames of a clip that are on the time grid, picked by the class that the device uses.

    Args:
        times_s: capture times in seconds, `(n,)`, not decreasing.
        rate_hz: frames a second of the grid.
        first: the frame that starts the grid.

    Returns:
        Indices into `times_s`, at least one.
    """
    grid = TimeGrid(rate_hz)
    return np.array([i for i in range(first, len(times_s)) if grid.accepts(times_s[i])], np.intp)


def evaluation_stream(grid: npt.NDArray[np.intp], window: int) -> npt.NDArray[np.intp]:
    """Grid of a clip, padded on the left to one window by its first frame: before it the scene stood still."""
    return np.concatenate([np.repeat(grid[:1], max(0, window - len(grid))), grid])


def window_starts(frames: int, window: int, hop: int) -> range:
    """First frames of the windows that a stream of `frames` frames answers for: one when full, then every `hop`."""
    return range(0, frames - window + 1, hop)


def training_window(
    times_s: npt.NDArray[np.float64], rate_hz: float, window: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Indices of a random window of a clip and the `HISTORY` frames before it.

    Which frame of its first period starts the grid, and where on the grid the window begins, are random. Before the
    first frame of the clip, that frame is repeated.

    Returns:
        `(HISTORY + window,)` indices into `times_s`, not decreasing.
    """
    in_first_period = int(np.searchsorted(times_s, times_s[0] + 1 / rate_hz))
    first = int(rng.integers(max(1, in_first_period)))
    stream = evaluation_stream(grid_indices(times_s, rate_hz, first), window)
    start = int(rng.integers(len(stream) - window + 1))
    return stream[np.maximum(np.arange(start - HISTORY, start + window), 0)]
