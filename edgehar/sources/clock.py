"""Capture times of frames, computed from the presentation times of a video."""

from __future__ import annotations

import itertools
import math
from collections import deque

# Presentation times that fall back by more than this, in seconds, have restarted. By less, they are out of order.
_RESTART_S = 1.0
# A gap of more seconds, and of more frames, is a cut between two recordings.
_GAP_S, _GAP_PERIODS = 10.0, 100
# Largest drift of a camera's clock against ours, in seconds per second.
_DRIFT = 5e-4
# The pace of stamps is wrong from this share on. A smaller error is followed at the pace _RELEASE.
_WRONG_PACE, _RELEASE = 0.05, 0.06
# Latency is compared between the fastest frames of blocks of this many seconds.
_BLOCK_S = 1.0
# Stamps run slow if latency grew over this many blocks in a row. Fast stamps need more evidence, which costs nothing:
# meanwhile every frame is captured when it arrives.
_SLOW_BLOCKS, _FAST_BLOCKS = 3, 12
# Frames are late if the fastest one of a block is captured this many seconds before it arrives.
_LATE_S = 0.1
# Stamps are useless if so many of them step back or stand still within so many seconds.
_MOST_STEPS, _STEPS_WITHIN_S = 5, 60.0


class StampChoice:
    """Choose between the presentation time and the decode time of a frame, as FFmpeg's best effort does.

    Some demuxers guess presentation times, and guess them out of order. The decode times of the frames that come out of
    the decoder are in the order of display.
    """

    def __init__(self) -> None:
        """Start a stream."""
        self._last: list[int | None] = [None, None]
        self._faults = [0, 0]

    def of(self, pts: int | None, dts: int | None) -> int | None:
        """Return the time to use: that of which fewer were out of order so far, and the presentation time if equal."""
        for place, stamp in enumerate((pts, dts)):
            if stamp is not None:
                last = self._last[place]
                self._faults[place] += last is not None and stamp <= last
                self._last[place] = stamp
        if pts is None or dts is None:
            return dts if pts is None else pts
        return pts if self._faults[0] <= self._faults[1] else dts


class FileClock:
    """Capture times of a file: seconds since the first frame that never decrease, even if stamps are missing.

    Attributes:
        cut: whether the newest frame follows a cut: joined recordings have times that restart or leave a long gap.
    """

    def __init__(self, period_s: float) -> None:
        """Start a video. `period_s` is the time between two frames without presentation times, in seconds."""
        self.cut = False
        self._period_s = period_s
        self._next_s = 0.0
        self._last_s = -math.inf
        self._offset_s: float | None = None

    def captured_s(self, stamp_s: float | None, _arrived_s: float) -> float:
        """Return the capture time of a frame from its presentation time (seconds; None if it has none)."""
        self.cut = False
        if stamp_s is None:
            captured_s = self._next_s
        else:
            self.cut = self._offset_s is not None and not self._continues(stamp_s + self._offset_s - self._last_s)
            if self._offset_s is None or self.cut:
                self._offset_s = self._next_s - stamp_s
            captured_s = max(self._last_s, stamp_s + self._offset_s)
        self._last_s, self._next_s = captured_s, captured_s + self._period_s
        return captured_s

    def _continues(self, step_s: float) -> bool:
        return -_RESTART_S <= step_s <= max(_GAP_S, _GAP_PERIODS * self._period_s)


class LiveClock:
    """Capture times of a live stream: presentation times mapped to the clock of arrival, as late as possible.

    The fastest frame so far defines the offset between the two clocks, because no frame arrives before it is captured.
    The offset is released slowly, because the camera's clock may run slower than ours: within months they would differ
    by minutes.

    Presentation times are often wrong: invented by a demuxer, at another pace than real time, constant, or stepping
    back. A single step is absorbed. If steps repeat, or the pace is wrong, frames are from then on captured when they
    arrive, and `fault` says why.

    Attributes:
        fault: why presentation times are not used; None while they are.
    """

    def __init__(self, *, fault: str | None = None) -> None:
        """Start a stream. A `fault` known beforehand makes it use arrival times from the first frame."""
        self.fault = fault
        self._offset_s: float | None = None
        self._stamp_s = self._last_s = self._arrived_s = -math.inf
        self._steps_s: deque[float] = deque(maxlen=_MOST_STEPS)
        self._pace = _Pace()

    def captured_s(self, stamp_s: float | None, arrived_s: float, *, waited: bool = True) -> float:
        """Return the capture time of a frame.

        Args:
            stamp_s: presentation time in seconds; None if the frame has none.
            arrived_s: time of arrival in monotonic seconds; never decreases.
            waited: whether the reader had to wait for this frame. A reader that never waits is too slow for its
                stream, and the pace of arrival says nothing about the stream's clock.
        """
        if stamp_s is None or self.fault is not None:
            captured_s = arrived_s
        else:
            captured_s = self._on_our_clock(stamp_s, arrived_s)
            self.fault = self._fault_of_pace(stamp_s, arrived_s, waited=waited)
        self._arrived_s, self._last_s = arrived_s, max(self._last_s, captured_s)
        return self._last_s

    def _on_our_clock(self, stamp_s: float, arrived_s: float) -> float:
        latest_s = arrived_s - stamp_s
        if self._offset_s is None:
            self._offset_s = latest_s
        elif stamp_s <= self._stamp_s:
            self._offset_s = latest_s
            self._note_step(arrived_s)
        else:
            released_s = self._pace.release * (arrived_s - self._arrived_s)
            self._offset_s = min(self._offset_s + released_s, latest_s)
        self._stamp_s = stamp_s
        return stamp_s + self._offset_s

    def _note_step(self, arrived_s: float) -> None:
        self._steps_s.append(arrived_s)
        self._pace = _Pace()

    def _fault_of_pace(self, stamp_s: float, arrived_s: float, *, waited: bool) -> str | None:
        if len(self._steps_s) == _MOST_STEPS and arrived_s - self._steps_s[0] <= _STEPS_WITHIN_S:
            return "its time stamps stand still or jump back"
        assert self._offset_s is not None
        rate = self._pace.wrong_rate(stamp_s, arrived_s, arrived_s - stamp_s - self._offset_s, waited=waited)
        return None if rate is None else f"its time stamps run at {rate:.2f} of real time"


class _Pace:
    """Compare the pace of presentation times with that of arrival, from the fastest frame of each block of time.

    Attributes:
        release: how fast to release the offset, in seconds per second: faster while all frames arrive late.
    """

    def __init__(self) -> None:
        self.release = _DRIFT
        self._ends_s = -math.inf
        self._waited = False
        # The fastest frame of the present block: latency against the stamp, arrival, and lag against the clock.
        self._fastest = (math.inf, 0.0, 0.0)
        self._blocks: deque[tuple[float, float, float]] = deque(maxlen=_FAST_BLOCKS + 1)

    def wrong_rate(self, stamp_s: float, arrived_s: float, lag_s: float, *, waited: bool) -> float | None:
        """Record a frame. Returns the pace of the stamps if it is wrong, as a share of real time."""
        if self._ends_s == -math.inf:
            self._ends_s = arrived_s + _BLOCK_S
        found = None
        if arrived_s >= self._ends_s:
            found = self._end_block()
            self._ends_s = arrived_s + _BLOCK_S
        self._waited = self._waited or waited
        self._fastest = min(self._fastest, (arrived_s - stamp_s, arrived_s, lag_s))
        return found

    def _end_block(self) -> float | None:
        if not self._waited:
            self._blocks.clear()
        else:
            self._blocks.append(self._fastest)
        self._waited, self._fastest = False, (math.inf, 0.0, 0.0)
        blocks = list(self._blocks)
        late = [lag_s > _LATE_S for _, _, lag_s in blocks[-_SLOW_BLOCKS:]]
        self.release = _RELEASE if len(late) == _SLOW_BLOCKS and all(late) else _DRIFT
        slow = _slope(blocks[-_SLOW_BLOCKS - 1 :]) if len(blocks) > _SLOW_BLOCKS else 0.0
        # While a backlog is worked off, latency shrinks too, but all frames are late.
        early = all(lag_s <= _LATE_S for _, _, lag_s in blocks)
        fast = _slope(blocks) if early and len(blocks) > _FAST_BLOCKS else 0.0
        if slow >= _WRONG_PACE or fast <= -_WRONG_PACE:
            # Latency grows by this share of the time of arrival.
            return 1.0 - (slow if slow > 0 else fast)
        return None


def _slope(blocks: list[tuple[float, float, float]]) -> float:
    """Return how fast latency changes, in seconds per second; 0 if it does not change in each step alike."""
    steps = [
        (after[0] - before[0]) / (after[1] - before[1])
        for before, after in itertools.pairwise(blocks)
        if after[1] > before[1]
    ]
    if not steps or (min(steps) < _WRONG_PACE / 2 and max(steps) > -_WRONG_PACE / 2):
        return 0.0
    return (blocks[-1][0] - blocks[0][0]) / (blocks[-1][1] - blocks[0][1])
