"""Black masks in the network's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgehar._ring import LookResizer, Resizer
from edgehar.errors import ConfigError
from edgehar.frames import Frame, PixelFormat

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgehar._ring import Region
    from edgehar.masks import View
    from edgehar.model.bundle import ModelBundle


def resizer_for(bundle: ModelBundle, view: View) -> Resizer | LookResizer | MaskedResizer:
    """Return what makes the encoder's input of a frame, of which only a part may be seen.

    Raises:
        ConfigError: the region is not within the frame.
    """
    try:
        resizer = bundle.make_resizer(region=view.region)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return MaskedResizer(resizer, bundle, view) if view.masks else resizer


class MaskedResizer:
    """A model's resizer, whose output is black wherever it averages a masked pixel of the frame, in part or wholly.

    No value of a masked pixel then reaches the network. The kernel itself finds these pixels: it shrinks a picture of
    the mask as it shrinks frames. With two looks, the picture that both are made of is masked, so that nothing under a
    mask attracts the second look either.
    """

    def __init__(self, resizer: Resizer | LookResizer, bundle: ModelBundle, view: View) -> None:
        """Take the model's resizer, and the masks and region of a view. The resizer is closed with this."""
        self._resizer, self._bundle, self._view = resizer, bundle, view
        self._size = (0, 0)
        self._cells: npt.NDArray[np.bool_] = np.empty(0, bool)
        self._black: npt.NDArray[np.int8] = np.empty(0, np.int8)

    def resize_into(self, frame: Frame, out: npt.NDArray[np.int8]) -> None:
        """Resize a frame as the model's resizer does, with black masks.

        Args:
            frame: the camera's frame.
            out: int8, in the shape of the encoder's input.

        Raises:
            ValueError: as the model's resizer.
        """
        if (frame.height, frame.width) != self._size:
            self._fit(frame.height, frame.width)
        self._resizer.resize_into(frame, out)
        if isinstance(self._resizer, Resizer):
            np.copyto(out, self._black, where=self._cells)

    @property
    def place(self) -> Region | None:
        """As `LookResizer.place`; None without a second look."""
        return getattr(self._resizer, "place", None)

    def reset(self) -> None:
        """Forget the motion history."""
        self._resizer.reset()

    def close(self) -> None:
        """Free the memory."""
        self._resizer.close()

    def _fit(self, height: int, width: int) -> None:
        shape, region = self._bundle.manifest.input, self._view.region
        mask = Frame(self._view.mask_frame(height, width), PixelFormat.GRAY8, 0.0, 0.0, 0)
        coverage = np.empty((*shape.source_size, 3), np.float32)
        with Resizer(*shape.source_size, dtype="float32", crop=shape.crop, region=region) as resizer:
            resizer.resize_into(mask, coverage)
        self._cells = np.any(coverage > 0, axis=2, keepdims=True)
        if isinstance(self._resizer, LookResizer):
            self._resizer.set_mask(np.where(self._cells[..., 0], 0, 255).astype(np.uint8))
        else:
            nothing = Frame(np.zeros((height, width), np.uint8), PixelFormat.GRAY8, 0.0, 0.0, 0)
            self._black = np.empty(coverage.shape, np.int8)
            with self._bundle.make_resizer(region=region) as black:
                black.resize_into(nothing, self._black)
        self._size = (height, width)
