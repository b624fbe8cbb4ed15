"""Files in a loop, or at the pace of a camera: test a device without a camera."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING

from edgehar.errors import ConfigError
from edgehar.sources.base import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgehar.frames import Frame
    from edgehar.sources.base import Decoding
    from edgehar.sources.options import ReplayOptions

# A reader that is further behind than this, in seconds, does not catch up: the clock restarts.
_BEHIND_S = 1.0


class ReplaySource(Source):
    """Frames of a file, in a loop if `loop` is set, when they are due if `realtime` is set.

    Attributes:
        name: name of the file's source.
        live: True in real time. `captured_s` is then on the clock given to `__init__`.
    """

    reopens = False

    def __init__(
        self,
        open_file: Callable[[], Source],
        options: ReplayOptions,
        *,
        period_s: float,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """Open a file.

        Args:
            open_file: opens the file; called again for each round.
            options: whether to loop, and whether to play in real time.
            period_s: seconds from the only frame of a round to the first frame of the next round. If a round has
                several frames, the time between its last two counts instead.
            clock: monotonic seconds.
            wait: waits so many seconds, and returns True at once when the source is closed.

        Raises:
            SourceError: the file cannot be opened.
            ConfigError: it is a live source.
        """
        self._file = open_file()
        self.name = self._file.name
        if self._file.live:
            self._file.close()
            raise ConfigError(f"{self.name}: loop and realtime are for files, and this source is live; leave them out")
        self.live = options.realtime
        self._open_file, self._loop, self._period_s = open_file, options.loop, period_s
        self._damaged_before = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._clock, self._wait = clock, wait or self._closed.wait

    @property
    def damaged(self) -> int:
        """Frames dropped so far because they were damaged, over all rounds."""
        return self._damaged_before + self._file.damaged

    @property
    def decoding(self) -> Decoding | None:
        """How the video of this round is decoded."""
        return self._file.decoding

    def __iter__(self) -> Iterator[Frame]:
        started_s = self._clock() if self.live else 0.0
        for frame, sequence, due_s in self._rounds():
            if self.live:
                early_s = started_s + due_s - self._clock()
                if self._wait(max(0.0, early_s)):
                    return
                if early_s < -_BEHIND_S:
                    started_s -= early_s
            # A frame must not be captured after it arrives.
            arrived_s = max(self._clock(), started_s + due_s) if self.live else frame.arrived_s
            if self.tap is not None:
                self.tap.shifted(started_s + due_s - frame.captured_s)
            yield dataclasses.replace(frame, captured_s=started_s + due_s, arrived_s=arrived_s, sequence=sequence)

    def _rounds(self) -> Iterator[tuple[Frame, int, float]]:
        """Yield the frames of all rounds, each with its number and the seconds since the very first frame."""
        begin_s, begin = 0.0, 0
        while not self._closed.is_set():
            at_s, last = None, 0
            period_s = self._period_s
            self._file.tap = self.tap
            for frame in self._file:
                if at_s is not None:
                    period_s = frame.captured_s - at_s
                at_s, last = frame.captured_s, frame.sequence
                yield frame, begin + last, begin_s + at_s
            if at_s is None or not self._loop:
                return
            begin_s += at_s + period_s
            begin += last + 1
            self._reopen()

    def _reopen(self) -> None:
        with self._lock:
            self._file.close()
            if not self._closed.is_set():
                self._damaged_before += self._file.damaged
                self._file = self._open_file()

    def close(self) -> None:
        """End the frames and close the file."""
        self._closed.set()
        with self._lock:
            self._file.close()
