"""Results as text for people."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING

from edgehar.printable import printable
from edgehar.records import Event, Prediction
from edgehar.sinks.base import Sink

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgehar.records import Record
    from edgehar.sinks.jsonl import LineWriter

# Capture times of a live source are on the monotonic clock, so the newest is near its present value. Those of a file
# start near 0.
_LIVE_WITHIN_S = 60.0


class TextSink(Sink):
    """Predictions and events, one short line each.

    Times of a live source are shown as local time of day, those of a file as seconds from its start.
    """

    name = "text"

    def __init__(self, writer: LineWriter, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `writer`.

        Args:
            writer: where lines go.
            clock: monotonic seconds.
        """
        self._writer, self._clock = writer, clock

    def write(self, record: Record) -> None:
        """Write one line for a prediction or an event."""
        now_s = self._clock()
        if isinstance(record, Prediction):
            self._writer.write(f"{_prediction(record, now_s)}\n".encode())
        elif isinstance(record, Event):
            self._writer.write(f"{_event(record, now_s)}\n".encode())


def _prediction(record: Prediction, now_s: float) -> str:
    slow = "" if record.rate_ok else "  (not seen at the rate that the model was trained at)"
    window = record.window
    span = f"{window.start_s:7.2f} to {window.end_s:7.2f} s"
    if abs(now_s - window.end_s) < _LIVE_WITHIN_S:
        span = _local(record.time)
    return f"{span}  {printable(record.source)}  {printable(record.label)} {record.score:.2f}{slow}"


def _event(record: Event, now_s: float) -> str:
    label, source = printable(record.label), printable(record.source)
    if record.phase == "uploaded":
        return f"event: {label} uploaded to {printable(record.clip_url or '')}  {source}"
    verb = {"start": "started", "update": "continues since", "end": "ended"}[record.phase]
    at_s = record.start_s if record.phase == "update" or record.end_s is None else record.end_s
    moment = f"{at_s:.2f} s"
    if abs(now_s - at_s) < _LIVE_WITHIN_S:
        moment = _local(record.time, before_s=now_s - at_s)
    return f"event: {label} {verb} at {moment}, peak {record.peak_score:.2f}  {source}".replace("since at", "since")


def _local(time_utc: str, before_s: float = 0.0) -> str:
    """Return the local time of day of an ISO 8601 time, `before_s` seconds earlier."""
    moment = datetime.datetime.fromisoformat(time_utc).astimezone() - datetime.timedelta(seconds=before_s)
    return moment.strftime("%Y-%m-%d %H:%M:%S")
