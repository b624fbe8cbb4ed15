"""The newest answers and events of every camera, and its scores of the last hour."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from edgehar.records import Event, Prediction
from edgehar.sinks.base import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from edgehar.records import Record
    from edgehar.web.camera import WebCamera

BIN_S, BINS = 10.0, 360
_EVENTS = 50


class Strip:
    """Highest scores of each label in steps of ten seconds, over the last hour. Not thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with an empty hour; `clock` gives seconds since 1970."""
        self._clock = clock
        # For each label of the models so far, uint8 (steps,).
        self._scores: dict[str, npt.NDArray[np.uint8]] = {}
        self._newest = int(clock() // BIN_S)

    def add(self, scores: dict[str, float]) -> None:
        """Take the scores of an answer."""
        self._advance()
        place = self._newest % BINS
        for label, score in scores.items():
            if label not in self._scores:
                self._scores[label] = np.zeros(BINS, np.uint8)
            steps = self._scores[label]
            # 0 means no answer.
            steps[place] = max(steps[place], 1 + min(max(round(score * 254), 0), 254))

    def rows(self) -> tuple[float, dict[str, list[int]]]:
        """Return when the first step began, in seconds since 1970, and for each label its scores, oldest first.

        A score is 1 to 255 for 0 to 1; 0 is a step without an answer.
        """
        self._advance()
        order = np.arange(self._newest + 1, self._newest + 1 + BINS) % BINS
        start_s = (self._newest + 1 - BINS) * BIN_S
        return start_s, {label: steps[order].tolist() for label, steps in self._scores.items()}

    def _advance(self) -> None:
        now = int(self._clock() // BIN_S)
        # A clock that was set back goes on in the newest step.
        for step in range(max(self._newest + 1, now - BINS + 1), now + 1):
            for steps in self._scores.values():
                steps[step % BINS] = 0
        self._newest = max(self._newest, now)


class CameraBoard:
    """The newest values of one camera. Safe from any thread.

    Attributes:
        latest: the newest prediction, as decided; None before the first.
        events: the newest record of each of the latest events, oldest first.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin empty; `clock` gives seconds since 1970."""
        self._lock = threading.Lock()
        self._strip = Strip(clock)
        self.latest: Prediction | None = None
        self._events: deque[Event] = deque(maxlen=_EVENTS)

    def add(self, record: Record) -> None:
        """Take a record of this camera."""
        if isinstance(record, Prediction):
            with self._lock:
                self._strip.add(record.scores)
            self.latest = record
        elif isinstance(record, Event):
            with self._lock:
                known = next((n for n, event in enumerate(self._events) if event.id == record.id), None)
                if known is not None:
                    self._events[known] = record
                elif record.phase != "uploaded":
                    # The clip of an event may be uploaded days later: that is not a new event.
                    self._events.append(record)

    @property
    def events(self) -> list[Event]:
        """The newest record of each of the latest events, oldest first."""
        with self._lock:
            return list(self._events)

    @property
    def open_event(self) -> Event | None:
        """The event that goes on now; None if there is none."""
        with self._lock:
            newest = self._events[-1] if self._events else None
        return newest if newest is not None and newest.phase in ("start", "update") else None

    def strip(self) -> tuple[float, dict[str, list[int]]]:
        """Return the last hour, as `Strip.rows` does."""
        with self._lock:
            return self._strip.rows()


class Board:
    """The boards of all cameras, by name."""

    def __init__(self, cameras: Iterable[WebCamera], clock: Callable[[], float] = time.time) -> None:
        """Begin empty; `clock` gives seconds since 1970."""
        self.cameras = {camera.name: CameraBoard(clock) for camera in cameras}


class BoardSink(Sink):
    """Writes records on a board, which stays when the sinks are replaced."""

    name = "web"
    essential = False

    def __init__(self, board: Board) -> None:
        """Write on this board."""
        self._board = board

    def write(self, record: Record) -> None:
        """Write one record."""
        camera = self._board.cameras.get(record.source)
        if camera is not None:
            camera.add(record)
