"""Results as JSON Lines on a file descriptor, most often stdout."""

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
    """The descriptor of standard output; SinkError when it is closed."""
    try:
        return sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        raise SinkError("standard output is closed; redirect it, or use --output none") from None


class LineWriter:
    """Whole lines on a file descriptor, unbuffered: each is there when written, and none waits to fail at exit."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._raw = io.FileIO(descriptor, "w", closefd=False)
        self._name = name

    def write(self, line: bytes) -> None:
        """Write all of `line`. BrokenPipeError when the reader has gone; SinkError for any other trouble."""
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
    """Predictions and events, one JSON object a line (`edgehar/schemas/record.schema.json`).

    Status records are left out: they are for monitors, and the log says the same.
    """

    name = "jsonl"

    def __init__(self, writer: LineWriter) -> None:
        """Write to `writer`."""
        self._writer = writer
        self._encoder = msgspec.json.Encoder()

    def write(self, record: Record) -> None:
        """Write one line."""
        if not isinstance(record, Status):
            self._writer.write(self._encoder.encode(record) + b"\n")
