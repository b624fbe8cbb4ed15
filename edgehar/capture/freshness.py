"""Tells frames that come late, as they do when a stream that stood still catches up, from those that come in time."""

from __future__ import annotations

# A backlog that is being worked off shrinks, by more than this share of the time that passes; clocks that differ, or a
# delay that has come to stay, do not make one.
_CATCHING_UP = 0.1
# One that grows faster than this share is a device too slow for its stream.
_FALLING_BEHIND = 0.05
_LOOK_EVERY_S = 1.0


class Freshness:
    """Watches by how much frames arrive later than they were captured, beyond what is usual for their source."""

    def __init__(self, stale_after_s: float) -> None:
        """Call frames stale that come later than usual by more than `stale_after_s`."""
        self._stale_after_s = stale_after_s
        self._usual_s: float | None = None
        self._stale_since: tuple[float, float] | None = None

    def is_stale(self, captured_s: float, arrived_s: float) -> bool:
        """Whether the frame is stale; call it with every frame, both times in seconds of one clock."""
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
            # The new usual: frames as fresh as they will get.
            self._usual_s, self._stale_since = lag_s, None
            return False
        return True
