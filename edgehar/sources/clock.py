"""Capture times of frames, computed from the presentation times of a video."""

from __future__ import annotations

import math

# Presentation times that fall back by more than this, in seconds, have restarted. By less, they are out of order.
_RESTART_S = 1.0
# Largest drift of a camera's clock against ours, in seconds per second.
_DRIFT = 5e-4


class FileClock:
    """Capture times of a file: seconds since the first frame that never decrease, even if stamps are missing."""

    def __init__(self, period_s: float) -> None:
        """Start a video. `period_s` is the time between two frames without presentation times, in seconds."""
        self._period_s = period_s
        self._next_s = 0.0
        self._last_s = -math.inf
        self._offset_s: float | None = None

    def captured_s(self, stamp_s: float | None, _arrived_s: float) -> float:
        """Return the capture time of a frame from its presentation time (seconds; None if it has none)."""
        if stamp_s is None:
            captured_s = self._next_s
        else:
            if self._offset_s is None or stamp_s + self._offset_s < self._last_s - _RESTART_S:
                self._offset_s = self._next_s - stamp_s
            captured_s = max(self._last_s, stamp_s + self._offset_s)
        self._last_s, self._next_s = captured_s, captured_s + self._period_s
        return captured_s


class LiveClock:
    """Capture times of a live stream: presentation times mapped to the clock of arrival, as late as possible.

    The fastest frame so far defines the offset between the two clocks, because no frame arrives before it is captured.
    The offset is released slowly, because the camera's clock may run slower than ours: within months they would differ
    by minutes.
    """

    def __init__(self) -> None:
        """Start a stream."""
        self._offset_s: float | None = None
        self._last_s = self._arrived_s = -math.inf

    def captured_s(self, stamp_s: float | None, arrived_s: float) -> float:
        """Return the capture time of a frame that arrived at `arrived_s`, which never decreases."""
        captured_s = arrived_s if stamp_s is None else self._on_our_clock(stamp_s, arrived_s)
        self._arrived_s, self._last_s = arrived_s, max(self._last_s, captured_s)
        return self._last_s

    def _on_our_clock(self, stamp_s: float, arrived_s: float) -> float:
        latest_s = arrived_s - stamp_s
        if self._offset_s is None or stamp_s + self._offset_s < self._last_s - _RESTART_S:
            self._offset_s = latest_s
        else:
            self._offset_s = min(self._offset_s + _DRIFT * (arrived_s - self._arrived_s), latest_s)
        return stamp_s + self._offset_s
