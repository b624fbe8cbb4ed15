"""Reading bytes once, as fast as the installed libraries can: the limit for anything that must read every byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Read = Callable[[int], object]


def readers(buffers: list[npt.NDArray[np.uint8]]) -> dict[str, Read]:
    """Return ways to read the n-th of some uint8 `(n,)` buffers, by the name of the function that reads.

    Which is fastest differs from machine to machine, so all are measured.
    """
    whole_words = buffers[0].size // 8 * 8
    words = [buffer[:whole_words].view(np.uint64) for buffer in buffers]
    # OpenCV treats two-dimensional arrays as pictures, and one-dimensional ones as columns.
    pictures = [buffer.reshape(1, -1) for buffer in buffers]
    count = len(buffers)
    return {
        "numpy.bitwise_or.reduce": lambda n: np.bitwise_or.reduce(words[n % count]),
        "numpy.maximum.reduce": lambda n: np.maximum.reduce(buffers[n % count]),
        "numpy.add.reduce": lambda n: np.add.reduce(words[n % count]),
        "cv2.norm": lambda n: cv2.norm(pictures[n % count], cv2.NORM_INF),
    }
