"""A source that is read at some hours of the week only, and closed at the others."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING

from edgehar.sources.base import OffHoursError, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edgehar.frames import Frame
    from edgehar.hours import Hours
    from edgehar.sources.base import Decoding
    from edgehar.sources.options import DecodeMode

_CHECK_EVERY_S = 1.0


class ScheduledSource(Source):
    """A live source that ends with OffHoursError when its hours are over."""

    def __init__(
        self,
        open_source: Callable[[], Source],
        hours: Hours,
        *,
        now: Callable[[], datetime.datetime] = datetime.datetime.now,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the source, if it is to be read now.

        Args:
            open_source: opens the source; not called off hours.
            hours: when it is read, in local time.
            now: local time.
            clock: monotonic seconds.

        Raises:
            OffHoursError: not at this time.
            SourceError: the source cannot be opened.
        """
        self._hours, self._now, self._clock = hours, now, clock
        self._check("")
        self._source = open_source()
        self.name, self.live, self.reopens = self._source.name, self._source.live, self._source.reopens
        self.burst_s = self._source.burst_s

    @property
    def damaged(self) -> int:
        """Frames dropped so far because they were damaged."""
        return self._source.damaged

    @property
    def decoding(self) -> Decoding | None:
        """How video is decoded now."""
        return self._source.decoding

    def use_decode_mode(self, mode: DecodeMode) -> None:
        """Request another mode."""
        self._source.use_decode_mode(mode)

    def __iter__(self) -> Iterator[Frame]:
        self._source.tap, self._source.needs = self.tap, self.needs
        checked_s = self._clock()
        for frame in self._source:
            # Files are read whole: they have no time of day.
            if self.live and self.reopens and self._clock() - checked_s >= _CHECK_EVERY_S:
                checked_s = self._clock()
                self._check(f"{self.name}: ")
            yield frame

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _check(self, prefix: str) -> None:
        # The hours may change; without any, it is read always.
        if self._hours and not self._hours.hold(self._now()):
            raise OffHoursError(f"{prefix}outside its watch_hours; no frame is read")
