"""Black masks in the network's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar._ring import Resizer
from edgehar.frames import Frame, PixelFormat

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar.masks import View
    from edgehar.model.bundle import ModelBundle


class InputMask:
    """Makes every input pixel black that averages a masked pixel of the camera's picture, in part or wholly.

    No value of a masked pixel then reaches the network. The kernel itself finds these pixels: it shrinks a picture of
    the mask as it shrinks frames.
    """

    def __init__(self, bundle: ModelBundle, view: View) -> None:
        """Take the model's preprocessing, and the masks and region of a view."""
        self._bundle, self._view = bundle, view
        self._size = (0, 0)
        self._cells: npt.NDArray[np.bool_] = np.empty(0, bool)
        self._black: npt.NDArray[np.int8] = np.empty(0, np.int8)

    def apply(self, frame: Frame, shrunk: npt.NDArray[np.int8]) -> None:
        """Black out the input made of a frame.

        Args:
            frame: the camera's frame; only its size is used.
            shrunk: int8 `(..., height, width, 3)`, changed in place.
        """
        if (frame.height, frame.width) != self._size:
            self._fit(frame.height, frame.width)
        np.copyto(shrunk, self._black, where=self._cells)

    def _fit(self, height: int, width: int) -> None:
        shape, region = self._bundle.manifest.input, self._view.region
        mask = Frame(self._view.mask_frame(height, width), PixelFormat.GRAY8, 0.0, 0.0, 0)
        coverage = np.empty((shape.height, shape.width, 3), np.float32)
        with Resizer(
            shape.height, shape.width, shape.channels, dtype="float32", crop=shape.crop, region=region
        ) as resizer:
            resizer.resize_into(mask, coverage)
        self._cells = np.any(coverage > 0, axis=2, keepdims=True)
        nothing = Frame(np.zeros((height, width), np.uint8), PixelFormat.GRAY8, 0.0, 0.0, 0)
        self._black = np.empty(coverage.shape, np.int8)
        with self._bundle.make_resizer(region=region) as resizer:
            resizer.resize_into(nothing, self._black)
        self._size = (height, width)
