"""Which camera frames a model sees: those on the grid of its temporal rate, picked by capture time, never by count."""

from __future__ import annotations

# A frame that comes this share of a period early is still taken: cameras jitter, and the nearest frame is the best one.
EARLY_PERIODS = 0.3


class TimeGrid:
    """Picks frames from a stream of any rate so that they are `1 / rate_hz` seconds apart, without repeating any.

    A grid slot is due every period. The first frame at or after the slot (or a little before it) is
    taken. A stream slower than the model gives every frame it has; after a gap the grid starts anew.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz, self.period_s = rate_hz, 1.0 / rate_hz
        self._due_s: float | None = None

    def accepts(self, captured_s: float) -> bool:
        """Whether the frame captured at `captured_s` (seconds, not decreasing) is on the grid."""
        if self._due_s is None:
            self._due_s = captured_s
        lateness_s = captured_s - self._due_s
        if lateness_s < -EARLY_PERIODS * self.period_s:
            return False
        if lateness_s > self.period_s:
            self._due_s = captured_s
        self._due_s += self.period_s
        return True

    def reset(self) -> None:
        """Forget the past; the next frame starts the grid."""
        self._due_s = None
