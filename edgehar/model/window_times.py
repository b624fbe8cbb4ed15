"""Capture times of the frames in a window, and the frames that are missing between them."""

from __future__ import annotations

from collections import deque

# A window that spans more than this factor of its nominal time was not seen at the model's rate.
RATE_TOLERANCE = 1.1
# Longest time between two neighboring frames, in periods of the model's rate. A source of a constant rate, not slower
# than the model, never exceeds 2. Where a frame is known to be lost, its place on the time grid is empty from 1.5 on.
_LONGEST_STEP, _LONGEST_STEP_WITH_LOSS = 2.2, 1.5


class WindowTimes:
    """Times of the latest frames on the time grid, at most a window of them.

    Attributes:
        captured_s: capture times in seconds, oldest first.
        lost: frames of the source that were lost since the first frame.
    """

    def __init__(self, window: int, rate_hz: float) -> None:
        """Start without a frame. `rate_hz` is the model's rate in frames a second."""
        self.captured_s: deque[float] = deque(maxlen=window)
        self.lost = 0
        self._period_s = 1.0 / rate_hz
        # For each frame: `lost` when it came, and whether it came too long after the frame before it.
        self._lost_before: deque[int] = deque(maxlen=window)
        self._is_late: deque[bool] = deque(maxlen=window)
        self._sequence: int | None = None

    def see(self, sequence: int) -> None:
        """Note the number of a frame at its source, also of one that is not on the time grid."""
        if self._sequence is not None:
            self.lost += max(0, sequence - self._sequence - 1)
        self._sequence = sequence

    def add(self, captured_s: float) -> None:
        """Add a frame on the time grid."""
        is_late = False
        if self.captured_s:
            longest = _LONGEST_STEP if self._lost_before[-1] == self.lost else _LONGEST_STEP_WITH_LOSS
            is_late = captured_s - self.captured_s[-1] > longest * self._period_s
        self.captured_s.append(captured_s)
        self._lost_before.append(self.lost)
        self._is_late.append(is_late)

    @property
    def lost_within(self) -> int:
        """Frames of the source that were lost between the first and the last frame of the window."""
        return self._lost_before[-1] - self._lost_before[0]

    @property
    def rate_ok(self) -> bool:
        """Whether the window was seen at the model's rate, without a gap."""
        nominal_s = (len(self.captured_s) - 1) * self._period_s
        span_s = self.captured_s[-1] - self.captured_s[0]
        # Before the first frame there is no step.
        gaps = sum(self._is_late) - self._is_late[0]
        return span_s <= RATE_TOLERANCE * nominal_s + 1e-9 and not gaps

    def clear(self) -> None:
        """Forget all frames."""
        for column in (self.captured_s, self._lost_before, self._is_late):
            column.clear()
        self.lost, self._sequence = 0, None
