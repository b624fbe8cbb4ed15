"""The queue of frames between the thread that reads a source and the thread that classifies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeAlias

from edgehar.capture.mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.frames import Frame

    # A frame and the epoch it belongs to.
    Numbered: TypeAlias = tuple[int, Frame]

# Frames of a file to decode ahead.
_FRAMES_AHEAD = 4
# Longest queue of a live source. A segment of HLS is longer: the rest of it waits undecoded.
_MAX_FRAMES = 32
_MAX_BYTES = 64 << 20
# How often a writer that waits for room checks whether the reader has fallen behind, in seconds.
_LOOK_EVERY_S = 0.05


class FrameQueue(Mailbox["Numbered"]):
    """Frames in capture order, dropped by age and not by number.

    A file's writer waits for room, and nothing is dropped.

    A live source may deliver frames in bursts, so its frames are queued. As long as the reader keeps up, it gets all of
    them. It has fallen behind if it lost more than `max_lag_s` against real time since it last found the queue empty.
    From then on only the newest frame is kept, until the reader finds the queue empty again.
    """

    def __init__(
        self,
        *,
        max_lag_s: float = 1.0,
        max_frames: int = _MAX_FRAMES,
        max_bytes: int = _MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a queue for a file; `go_live` changes it to a live source.

        Args:
            max_lag_s: longest lag that the reader may accumulate, in seconds.
            max_frames: most frames of a live source to queue.
            max_bytes: most bytes of pixels of a live source to queue.
            clock: monotonic seconds.
        """
        super().__init__(_FRAMES_AHEAD)
        self._max_lag_s, self._max_frames, self._max_bytes, self._clock = max_lag_s, max_frames, max_bytes, clock
        self._live = False
        self._bytes = 0
        # The reader's busy period: when it began, and the capture times of the first and newest frame read in it.
        self._idle, self._behind = True, False
        self._since_s = self._first_s = self._taken_s = 0.0

    def go_live(self) -> None:
        """From now on queue the frames of a live source."""
        with self._changed:
            self._live = True
            self._changed.notify_all()

    def put(self, item: Numbered, timeout_s: float | None = None) -> bool:
        """Add a frame; the arguments, result and errors are those of `Mailbox.put`."""
        if not self._live:
            return super().put(item, timeout_s)
        with self._changed:
            self._drop_if_behind()
            if not self._changed.wait_for(lambda: self._closed or self._fits(_size(item)), timeout_s):
                return False
            if self._idle:
                self._idle = False
                self._since_s, self._first_s, self._taken_s = self._clock(), item[1].captured_s, item[1].captured_s
            elif self._behind:
                self._drop(len(self._items))
            self._append(item)
        self.on_change()
        return True

    def wait_for_room(self) -> None:
        """Wait a moment, or until there may be room or the queue is closed."""
        most = self._max_frames if self._live else self._capacity
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < most, _LOOK_EVERY_S)

    def get(self, timeout_s: float | None = None) -> Numbered:
        """Remove and return the oldest frame; the arguments and errors are those of `Mailbox.get`."""
        with self._changed:
            if not self._items:
                self._idle, self._behind = True, False
            self._drop_if_behind()
            epoch, frame = super().get(timeout_s)
            self._taken_s = frame.captured_s
            self._bytes -= _size((epoch, frame))
            return epoch, frame

    def _append(self, item: Numbered) -> None:
        super()._append(item)
        self._bytes += _size(item)

    def _fits(self, size: int) -> bool:
        return not self._items or (len(self._items) < self._max_frames and self._bytes + size <= self._max_bytes)

    def _drop_if_behind(self) -> None:
        """Drop all frames but the newest if the reader has fallen behind."""
        if not self._live or len(self._items) < 2:
            return
        busy_s = self._clock() - self._since_s
        self._behind = self._behind or busy_s - (self._taken_s - self._first_s) > self._max_lag_s
        if self._behind:
            self._drop(len(self._items) - 1)

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._bytes -= _size(self._items.popleft())
        self.dropped += count
        self._changed.notify_all()


def _size(item: Numbered) -> int:
    """Return the bytes of a frame's pixels."""
    data = item[1].data
    return sum(plane.nbytes for plane in data) if isinstance(data, tuple) else data.nbytes
