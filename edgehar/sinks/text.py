"""Records as lines of text, for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgehar.records import Event, Prediction
from edgehar.sinks.base import Sink

if TYPE_CHECKING:
    from edgehar.records import Record
    from edgehar.sinks.jsonl import LineWriter


class TextSink(Sink):
    """Writes predictions and events, one short line each."""

    name = "text"

    def __init__(self, writer: LineWriter) -> None:
        """Set the writer."""
        self._writer = writer

    def write(self, record: Record) -> None:
        """Write one line, or nothing for a status record."""
        line = _line(record)
        if line is not None:
            self._writer.write(f"{line}\n".encode())


def _line(record: Record) -> str | None:
    if isinstance(record, Prediction):
        slow = "" if record.rate_ok else "  (fewer frames per second than the model was trained at)"
        window = record.window
        return f"{record.time}  {window.start_s:8.2f}-{window.end_s:.2f} s  {record.label} {record.score:.2f}{slow}"
    if isinstance(record, Event):
        verb = {"start": "began at", "update": "goes on since", "end": "ended at"}[record.phase]
        when = f"{verb} {record.start_s if record.end_s is None else record.end_s:.2f} s"
        return f"{record.time}  event: {record.label} {when}, peak {record.peak_score:.2f}"
    return None
