"""Records as JSON Lines on a file descriptor, usually standard output."""

from __future__ import annotations

import io
import select
import sys
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import SinkError
from edgehar.records import Status
from edgehar.sinks.base import Sink

if TYPE_CHECKING:
    from edgehar.records import Record


def stdout_descriptor() -> int:
    """Return the descriptor of standard output. Raises SinkError if it is closed."""
    try:
        return sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        raise SinkError("standard output is closed; redirect it, or use --output none") from None


class LineWriter:
    """Writes whole lines to a file descriptor, without a buffer, so that no line can fail at exit."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._raw = io.FileIO(descriptor, "w", closefd=False)
        self._name = name

    def write(self, line: bytes) -> None:
        """Write all of `line`. Raises BrokenPipeError if the reader has gone, SinkError for any other error."""
        rest = memoryview(line)
        try:
            while rest:
                written = self._raw.write(rest)
                if written is None:
                    # Another program that shares the terminal or pipe has made it non-blocking.
                    select.select([], [self._raw], [])
                rest = rest[written or 0 :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise SinkError(
                f"{self._name}: cannot be written: {error.strerror or error}; free space or write elsewhere"
            ) from error


class JsonLinesSink(Sink):
    """Writes predictions and events, one JSON object per line (`edgehar/schemas/record.schema.json`).

    Status records are left out, because the log has the same information.
    """

    name = "jsonl"

    def __init__(self, writer: LineWriter) -> None:
        """Set the writer."""
        self._writer = writer
        self._encoder = msgspec.json.Encoder()

    def write(self, record: Record) -> None:
        """Write one line."""
        if not isinstance(record, Status):
            self._writer.write(self._encoder.encode(record) + b"\n")
