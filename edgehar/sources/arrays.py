"""Frames from memory: any iterable of `Frame`s or BGR arrays."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from edgehar.errors import SourceError
from edgehar.frames import Frame, PixelFormat
from edgehar.sources.base import Source
from edgehar.sources.options import StillOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

_DEFAULT = StillOptions()


class ArraySource(Source):
    """Frames from an iterable, in its order.

    Attributes:
        name: "arrays".
    """

    def __init__(self, items: Iterable[Frame | npt.NDArray[np.uint8]], options: StillOptions = _DEFAULT) -> None:
        """Make a source of an iterable.

        Args:
            items: `Frame`s, which keep their times, or uint8 `(height, width, 3)` BGR arrays, 0-255.
            options: the rate of arrays.
        """
        self.name = "arrays"
        self._items = items
        self._rate_hz = options.rate_hz

    def __iter__(self) -> Iterator[Frame]:
        for sequence, item in enumerate(self._items):
            yield item if isinstance(item, Frame) else self._frame(item, sequence)

    def _frame(self, item: npt.NDArray[np.uint8], sequence: int) -> Frame:
        if not isinstance(item, np.ndarray) or item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3:
            found = f"{item.dtype} {item.shape}" if isinstance(item, np.ndarray) else type(item).__name__
            raise SourceError(
                f"{self.name}: item {sequence} is {found}; give uint8 arrays of shape (height, width, 3) in BGR order, "
                "or edgehar.Frame"
            )
        return Frame(item, PixelFormat.BGR24, sequence / self._rate_hz, time.monotonic(), sequence)
