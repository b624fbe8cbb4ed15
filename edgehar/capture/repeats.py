"""Detect a camera that repeats its last picture, as some do when their sensor has failed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgehar.frames import Frame

# Compare pictures this many seconds apart, by every nth row of the first plane. Sensor noise changes every row.
_EVERY_S, _EVERY_ROW = 1.0, 16


class Repeats:
    """Watch how long a camera has sent exactly the same picture."""

    def __init__(self) -> None:
        """Start a connection."""
        self._digest: int | None = None
        self._since_s = self._looked_s = 0.0

    def same_for_s(self, frame: Frame, now_s: float) -> float:
        """Return for how many seconds the picture has been the same. Call it for every frame."""
        if self._digest is not None and now_s - self._looked_s < _EVERY_S:
            return self._looked_s - self._since_s
        self._looked_s = now_s
        plane = frame.data[0] if isinstance(frame.data, tuple) else frame.data
        digest = zlib.crc32(plane[::_EVERY_ROW].tobytes())
        if digest != self._digest:
            self._digest, self._since_s = digest, now_s
        return now_s - self._since_s
