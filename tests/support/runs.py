"""Cameras and sinks for the tests of runs."""

import dataclasses
import threading
import time

import numpy as np

from edgehar import Frame, PixelFormat
from edgehar.records import Status
from edgehar.sinks.base import Sink
from edgehar.sources.base import Source


class Collected(Sink):
    """Keeps the records it gets."""

    name = "collected"

    def __init__(self, delay_s=0.0):
        self.records, self.closed, self._delay_s = [], False, delay_s

    def write(self, record):
        time.sleep(self._delay_s)
        self.records.append(record)

    def close(self):
        self.closed = True

    def of(self, kind):
        return [record for record in self.records if isinstance(record, kind)]

    @property
    def states(self):
        return [status.state for status in self.of(Status)]


class LiveSource(Source):
    """A camera: frames come at `rate_hz` whether they are read or not, until it is closed or fails."""

    live, reopens, name = True, False, "live"

    def __init__(self, rate_hz, count=None, error=None):
        self._period_s, self._count, self._error, self._closed = 1 / rate_hz, count, error, threading.Event()

    def __iter__(self):
        sequence = 0
        while sequence != self._count and not self._closed.wait(self._period_s):
            now_s = time.monotonic()
            yield Frame(np.full((16, 16, 3), 255, np.uint8), PixelFormat.BGR24, now_s, now_s, sequence)
            sequence += 1
        if self._error is not None:
            raise self._error

    def close(self):
        self._closed.set()


class QuickSource(LiveSource):
    """A camera whose frames come ten times faster than its clock says: one is a tenth of a second of video."""

    def __iter__(self):
        for frame in super().__iter__():
            yield dataclasses.replace(frame, captured_s=frame.sequence / 10)


class StuckSource(LiveSource):
    """A camera whose driver hangs until it is freed."""

    def __init__(self, rate_hz):
        super().__init__(rate_hz)
        self.hangs, self.freed = False, threading.Event()

    def __iter__(self):
        self.hangs = True
        self.freed.wait()
        return iter(())


class StuckSink(Collected):
    """A sink that hangs until it is freed."""

    def __init__(self):
        super().__init__()
        self.freed = threading.Event()

    def write(self, record):
        self.freed.wait()
