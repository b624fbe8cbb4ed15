"""The time grid of a model: picks frames at the model's rate by their capture times, never by count."""

from __future__ import annotations

# A frame this share of a period early is still taken, because cameras jitter and the nearest frame is the best.
EARLY_PERIODS = 0.3
# Times of later frames are known to this share of the time between two frames.
_MARGIN = 0.25


class TimeGrid:
    """Picks frames `1 / rate_hz` seconds apart from a stream of any rate, without repeating any.

    A slot is due every period. The first frame at or after the slot, or a little before it, is taken. Every frame of a
    stream slower than the model is taken. After a gap the grid restarts.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz, self.period_s = rate_hz, 1.0 / rate_hz
        self._due_s: float | None = None

    def accepts(self, captured_s: float) -> bool:
        """Return whether the frame captured at `captured_s` (seconds, not decreasing) is on the grid."""
        if self._due_s is None:
            self._due_s = captured_s
        lateness_s = captured_s - self._due_s
        if lateness_s < -EARLY_PERIODS * self.period_s:
            return False
        if lateness_s > self.period_s:
            self._due_s = captured_s
        self._due_s += self.period_s
        return True

    def may_accept(self, captured_s: float, step_s: float) -> bool:
        """Return whether a later frame may be on the grid. Another thread may ask, before the frames between are known.

        Args:
            captured_s: its capture time, in seconds.
            step_s: longest time between two frames, in seconds.
        """
        due_s = self._due_s
        if due_s is None:
            return True
        # A slot takes the first frame after its beginning, which is less than a step later.
        after_slot_s = (captured_s - due_s + EARLY_PERIODS * self.period_s) % self.period_s
        return after_slot_s <= (1 + _MARGIN) * step_s or after_slot_s >= self.period_s - _MARGIN * step_s

    def reset(self) -> None:
        """Forget all frames; the next one starts the grid."""
        self._due_s = None
