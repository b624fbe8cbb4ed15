"""Optical flow of small frames, by OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgehar_training.data.preprocess import FLOW_STEPS_PER_SIDE
from edgehar_training.data.sampling import earlier_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

METHODS = ("dis", "farneback")
# DIS takes no smaller frames; they are enlarged for it.
_LEAST_SIDE = 16
# Up to this side DIS goes down to single pixels, above it to pairs: that takes a quarter of the time.
_FINE_SIDE = 128
# Farneback (SCIA 2003): pyramid scale, levels, window, iterations, neighborhood and its deviation. A smaller window
# than OpenCV's usual 15, as the frames are small.
_FARNEBACK = (0.5, 3, 9, 3, 5, 1.2, 0)


def flow_of(
    frames: npt.NDArray[np.uint8], times_s: npt.NDArray[np.float64], rate_hz: float, method: str
) -> Iterator[tuple[npt.NDArray[np.int8], float]]:
    """Return the motion of each frame since the frame nearest to one period of the time grid before it.

    So every sampling of the clip finds its flow, whichever frame the grid starts with. It is computed at the size of
    the frames given, of their gray levels.

    Args:
        frames: uint8 `(n, height, width, 3)` RGB.
        times_s: their capture times in seconds, `(n,)`.
        rate_hz: frames a second of the grid.
        method: "dis" (Kroeger et al., ECCV 2016) or "farneback".

    Yields:
        For each frame int8 `(height, width, 2)`, x to the right and y down, as `quantized_flow` gives it, and its time.
        The first frame's is 0.
    """
    compute = _method(method, max(frames.shape[1:3]))
    for index, earlier in enumerate(earlier_frames(times_s, rate_hz).tolist()):
        if index == earlier:
            moved = np.zeros((*frames.shape[1:3], 2), np.int8)
        else:
            pixels = compute(_grey(frames[earlier]), _grey(frames[index]))
            moved = quantized_flow(pixels / _sides(pixels), frames.shape[1:3])
        yield moved, float(times_s[index])


def quantized_flow(shares: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    """Return flow as a share of the sides of the frame, float `(h, w, 2)`, as int8 `(height, width, 2)`.

    A step is 1/1024 of the side; beyond an eighth of the side it is clipped.
    """
    import cv2

    if shares.shape[:2] != tuple(shape):
        shares = cv2.resize(shares, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    quantized: npt.NDArray[np.int8] = np.clip(np.rint(shares * FLOW_STEPS_PER_SIDE), -128, 127).astype(np.int8)
    return quantized


def _method(name: str, side: int) -> Callable[[Any, Any], npt.NDArray[np.float32]]:
    import cv2

    if name == "dis":
        # On small frames the quickest preset leaves no more of a frame's difference than the others do.
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        dis.setFinestScale(0 if side <= _FINE_SIDE else 1)
        return lambda before, after: dis.calc(before, after, None)
    return lambda before, after: cv2.calcOpticalFlowFarneback(before, after, None, *_FARNEBACK)


def _sides(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return width and height of a picture, by which x and y are divided."""
    height, width = pixels.shape[:2]
    return np.array([width, height], np.float32)


def _grey(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    import cv2

    gray: npt.NDArray[np.uint8] = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    factor = -(-_LEAST_SIDE // min(gray.shape))
    return gray if factor <= 1 else cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
