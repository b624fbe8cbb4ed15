"""Capture times of frames, made from the presentation times that a video has."""

from __future__ import annotations

import math

# Presentation times that fall back by more than this have started anew; by less, they are merely out of order.
_NEW_START_S = 1.0
# Clocks of cameras are wrong by less than this share.
_DRIFT = 5e-4


class FileClock:
    """Seconds since the first frame, that never go back, though presentation times may be missing or start anew."""

    def __init__(self, period_s: float) -> None:
        """Begin a video whose frames are this many seconds apart where they do not say."""
        self._period_s = period_s
        self._next_s = 0.0
        self._last_s = -math.inf
        self._offset_s: float | None = None

    def captured_s(self, stamp_s: float | None, _arrived_s: float) -> float:
        """When the frame with this presentation time (seconds, None when it has none) was captured."""
        if stamp_s is None:
            captured_s = self._next_s
        else:
            if self._offset_s is None or stamp_s + self._offset_s < self._last_s - _NEW_START_S:
                self._offset_s = self._next_s - stamp_s
            captured_s = max(self._last_s, stamp_s + self._offset_s)
        self._last_s, self._next_s = captured_s, captured_s + self._period_s
        return captured_s


class LiveClock:
    """Presentation times put on the clock of arrival, as late as they can be: no frame arrives before it was captured.

    The fastest frame so far sets how the two clocks stand to each other. That is forgotten slowly: the camera's clock
    may run slower than ours, and after months they would be minutes apart.
    """

    def __init__(self) -> None:
        """Begin a stream."""
        self._offset_s: float | None = None
        self._last_s = self._arrived_s = -math.inf

    def captured_s(self, stamp_s: float | None, arrived_s: float) -> float:
        """When the frame with this presentation time, that arrived now, was captured; `arrived_s` never goes back."""
        captured_s = arrived_s if stamp_s is None else self._on_our_clock(stamp_s, arrived_s)
        self._arrived_s, self._last_s = arrived_s, max(self._last_s, captured_s)
        return self._last_s

    def _on_our_clock(self, stamp_s: float, arrived_s: float) -> float:
        latest_s = arrived_s - stamp_s
        if self._offset_s is None or stamp_s + self._offset_s < self._last_s - _NEW_START_S:
            self._offset_s = latest_s
        else:
            self._offset_s = min(self._offset_s + _DRIFT * (arrived_s - self._arrived_s), latest_s)
        return stamp_s + self._offset_s
