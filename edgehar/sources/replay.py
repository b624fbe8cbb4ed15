"""Files over and over, or at the pace at which they were filmed: a camera for those who have none."""

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
    from edgehar.sources.base import PacketTap

# A reader that is further behind than this does not catch up: the clock is set anew.
_BEHIND_S = 1.0


class ReplaySource(Source):
    """The frames of a file, from its beginning again after its end if asked to, when they are due if asked to.

    Attributes:
        name: as the file's.
        live: True in real time; `captured_s` is then on the monotonic clock.
    """

    reopens = False

    def __init__(
        self,
        open_file: Callable[[], Source],
        *,
        loop: bool,
        realtime: bool,
        period_s: float,
        tap: PacketTap | None = None,
    ) -> None:
        """Open a file.

        Args:
            open_file: opens it, for every round anew.
            loop: begin again at its end.
            realtime: give each frame when it is due, as a camera does.
            period_s: seconds from the only frame of a round to the first of the next; where a round has several, it is
                the time between its last two.

            tap: gets the packets of the file from `open_file`; it learns here when their frames are shown.

        Raises:
            SourceError: it cannot be opened.
            ConfigError: it is live of itself.
        """
        self._file = open_file()
        self.name = self._file.name
        if self._file.live:
            self._file.close()
            raise ConfigError(f"{self.name}: loop and realtime are for files, and this is live; leave them out")
        self.live = realtime
        self._open_file, self._loop, self._period_s = open_file, loop, period_s
        self._tap = tap
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        started_s = time.monotonic() if self.live else 0.0
        for sequence, (frame, due_s) in enumerate(self._rounds()):
            if self.live:
                early_s = started_s + due_s - time.monotonic()
                if self._closed.wait(max(0.0, early_s)):
                    return
                if early_s < -_BEHIND_S:
                    started_s -= early_s
            # Never later than it arrives.
            arrived_s = max(time.monotonic(), started_s + due_s) if self.live else frame.arrived_s
            if self._tap is not None:
                self._tap.shifted(started_s + due_s - frame.captured_s)
            yield dataclasses.replace(frame, captured_s=started_s + due_s, arrived_s=arrived_s, sequence=sequence)

    def _rounds(self) -> Iterator[tuple[Frame, float]]:
        """Frames of round after round, each with the seconds since the first of all."""
        begin_s = 0.0
        while not self._closed.is_set():
            at_s = None
            period_s = self._period_s
            for frame in self._file:
                if at_s is not None:
                    period_s = frame.captured_s - at_s
                at_s = frame.captured_s
                yield frame, begin_s + at_s
            if at_s is None or not self._loop:
                return
            begin_s += at_s + period_s
            self._begin_again()

    def _begin_again(self) -> None:
        with self._lock:
            self._file.close()
            if not self._closed.is_set():
                self._file = self._open_file()

    def close(self) -> None:
        """End the frames, and close the file."""
        self._closed.set()
        with self._lock:
            self._file.close()
