"""Sample the frames of a window from a clip.

Four strategies: "consecutive" frames on the time grid, in training from a random start, as the device sees them;
"uniform", evenly over the clip; "segments", one frame of each equal part of the clip, random in training and the middle
one in evaluation (TSN, Wang et al., ECCV 2016); "key-frames", the frames on the time grid with most motion. All but the
first give one window for each clip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar.model.timegrid import TimeGrid
from edgehar_training.settings.network import HISTORY

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar_training.settings import NetworkSettings

# The place of a frame in its part of the clip, as a share of the part: "uniform" takes the first, as the papers do.
_PLACE = {"uniform": 0.0, "segments": 0.5}


def grid_indices(times_s: npt.NDArray[np.float64], rate_hz: float, first: int = 0) -> npt.NDArray[np.intp]:
    """Return the frames of a clip on the time grid, chosen by the same class as on the device.

    Args:
        times_s: capture times in seconds, `(n,)`, not decreasing.
        rate_hz: frames a second of the grid.
        first: the frame that starts the grid.

    Returns:
        Indices into `times_s`, at least one.
    """
    grid = TimeGrid(rate_hz)
    return np.array([i for i, time_s in enumerate(times_s[first:].tolist(), first) if grid.accepts(time_s)], np.intp)


def evaluation_stream(grid: npt.NDArray[np.intp], window: int) -> npt.NDArray[np.intp]:
    """Return the time grid of a clip, padded on the left to one window by its first frame."""
    return np.concatenate([np.repeat(grid[:1], max(0, window - len(grid))), grid])


def window_starts(frames: int, window: int, hop: int, lead_in: int = 0) -> range:
    """Return the first frames of the answered windows of a stream: one when full, then one every `hop` frames.

    The first begins after `lead_in` frames, or as late as a shorter stream allows.
    """
    return range(min(lead_in, frames - window), frames - window + 1, hop)


def spread_indices(times_s: npt.NDArray[np.float64], places: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return one frame of each of `len(places)` equal parts of a clip, at the given place in its part.

    Args:
        times_s: capture times in seconds, `(n,)`, not decreasing.
        places: place in each part, 0 (start) to 1 (end).

    Returns:
        Indices into `times_s`, not decreasing; a clip of fewer frames than parts repeats some.
    """
    frames = len(times_s)
    last_s = float(times_s[-1] - times_s[0])
    # The last frame is shown as long as the others are on average.
    length_s = last_s * frames / (frames - 1) if frames > 1 else 0.0
    wanted_s = times_s[0] + (np.arange(len(places)) + places) / len(places) * length_s
    # A thousandth of a frame, so that rounding does not choose the frame before.
    shown = np.searchsorted(times_s, wanted_s + 1e-3 * length_s / frames, "right") - 1
    indices: npt.NDArray[np.intp] = np.clip(shown, 0, frames - 1).astype(np.intp)
    return indices


def key_indices(grid: npt.NDArray[np.intp], energy: npt.NDArray[np.float64], window: int) -> npt.NDArray[np.intp]:
    """Return the `window` frames of a grid with the most motion, in order of time; the earlier of equals.

    Args:
        grid: indices of frames.
        energy: motion of every frame of the clip.
        window: number of frames; a shorter grid is padded on the left by its first frame.
    """
    best = np.argsort(-energy[grid], kind="stable")[:window]
    return evaluation_stream(grid[np.sort(best)], window)


def earlier_frames(times_s: npt.NDArray[np.float64], rate_hz: float) -> npt.NDArray[np.intp]:
    """Return for every frame the frame nearest to one period of the grid before it.

    Returns:
        Indices into `times_s`, each below its own; 0 for the first frame.
    """
    frames = np.arange(len(times_s))
    wanted_s = times_s - 1 / rate_hz
    after = np.clip(np.searchsorted(times_s, wanted_s), 0, len(times_s) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(times_s[after] - wanted_s) < np.abs(times_s[before] - wanted_s), after, before)
    return np.minimum(nearest, np.maximum(frames - 1, 0)).astype(np.intp)


def motion_energy(
    frames: npt.NDArray[np.uint8], times_s: npt.NDArray[np.float64], rate_hz: float
) -> npt.NDArray[np.float64]:
    """Return the mean absolute difference of gray levels between every frame and the frame one period before it.

    Args:
        frames: uint8 `(n, height, width, 3)` RGB.
        times_s: their capture times in seconds, `(n,)`.
        rate_hz: frames a second of the grid.

    Returns:
        float64 `(n,)`, 0 to 255.
    """
    import cv2

    grays = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in frames]
    earlier = earlier_frames(times_s, rate_hz)
    return np.array([cv2.absdiff(gray, grays[e]).mean() for gray, e in zip(grays, earlier, strict=True)], np.float64)


def evaluation_indices(
    times_s: npt.NDArray[np.float64], network: NetworkSettings, energy: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.intp]:
    """Return the evaluated frames of a clip, in order.

    Args:
        times_s: capture times in seconds, `(n,)`, not decreasing.
        network: strategy, window and rate.
        energy: of `motion_energy`; needed for key frames.

    Returns:
        Indices into `times_s`: at least a window for "consecutive", exactly one for the others.
    """
    if network.sampling in _PLACE:
        return spread_indices(times_s, np.full(network.window, _PLACE[network.sampling]))
    grid = grid_indices(times_s, network.rate_hz)
    if network.sampling == "key-frames":
        return key_indices(grid, _needed(energy), network.window)
    return evaluation_stream(grid, network.window)


def training_indices(
    times_s: npt.NDArray[np.float64],
    network: NetworkSettings,
    rng: np.random.Generator,
    *,
    speed: float = 1.0,
    energy: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.intp]:
    """Return the frames of a random window of a clip and the `HISTORY` frames before it.

    Args:
        times_s: capture times in seconds, `(n,)`, not decreasing.
        network: strategy, window and rate.
        rng: source of randomness.
        speed: playback speed of the clip; strategies that spread frames over the clip ignore it.
        energy: of `motion_energy`; needed for key frames.

    Returns:
        `(HISTORY + window,)` indices into `times_s`, not decreasing.
    """
    if network.sampling == "consecutive":
        return training_window(times_s, network.rate_hz / speed, network.window, rng)
    if network.sampling == "uniform":
        chosen = evaluation_indices(times_s, network)
    elif network.sampling == "segments":
        chosen = spread_indices(times_s, rng.random(network.window))
    else:
        rate_hz = network.rate_hz / speed
        chosen = key_indices(_random_grid(times_s, rate_hz, rng), _needed(energy), network.window)
    return np.concatenate([np.repeat(chosen[:1], HISTORY), chosen])


def training_window(
    times_s: npt.NDArray[np.float64], rate_hz: float, window: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Return the indices of a random window in the time grid of a clip and the `HISTORY` frames before it.

    Which frame of its first period starts the grid, and where on the grid the window begins, are random. Before the
    first frame of the clip, that frame is repeated.

    Returns:
        `(HISTORY + window,)` indices into `times_s`, not decreasing.
    """
    stream = evaluation_stream(_random_grid(times_s, rate_hz, rng), window)
    start = int(rng.integers(len(stream) - window + 1))
    return stream[np.maximum(np.arange(start - HISTORY, start + window), 0)]


def _random_grid(times_s: npt.NDArray[np.float64], rate_hz: float, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    in_first_period = int(np.searchsorted(times_s, times_s[0] + 1 / rate_hz))
    return grid_indices(times_s, rate_hz, int(rng.integers(max(1, in_first_period))))


def _needed(energy: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
    if energy is None:
        raise ValueError("key frames need motion energy, but none was given")
    return energy
