"""Detect frames that arrive late, for example while a stream catches up after a stall."""

from __future__ import annotations

# While a backlog is worked off, the lag shrinks by more than this share of the time. Clock drift and a permanent delay
# shrink it more slowly.
_CATCHING_UP = 0.1
# If the lag grows by more than this share of the time, the device is too slow for its stream.
_FALLING_BEHIND = 0.05
_LOOK_EVERY_S = 1.0


class Freshness:
    """Compare the lag of each frame, from capture to arrival, with the usual lag of its source."""

    def __init__(self, stale_after_s: float) -> None:
        """Call frames stale if they arrive more than `stale_after_s` later than usual."""
        self._stale_after_s = stale_after_s
        self._usual_s: float | None = None
        self._stale_since: tuple[float, float] | None = None

    def is_stale(self, captured_s: float, arrived_s: float) -> bool:
        """Return whether a frame is stale. Call it for every frame, with both times in seconds of one clock."""
        lag_s = arrived_s - captured_s
        self._usual_s = lag_s if self._usual_s is None else min(self._usual_s, lag_s)
        if lag_s - self._usual_s <= self._stale_after_s:
            self._stale_since = None
            return False
        if self._stale_since is None:
            self._stale_since = (arrived_s, lag_s)
        since_s, first_lag_s = self._stale_since
        looked_s = arrived_s - since_s
        if looked_s < _LOOK_EVERY_S:
            return True
        self._stale_since = (arrived_s, lag_s)
        if -_CATCHING_UP * looked_s < lag_s - first_lag_s < _FALLING_BEHIND * looked_s:
            # The lag neither shrinks nor grows: it is the new usual one.
            self._usual_s, self._stale_since = lag_s, None
            return False
        return True
