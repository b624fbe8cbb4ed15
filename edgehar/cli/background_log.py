"""Log lines written by a thread, so that a stalled disk or terminal behind standard error delays nothing else."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TextIO

# Lines that may wait; further lines are dropped.
_MOST_LINES = 2000


class BackgroundHandler(logging.Handler):
    """A log handler whose thread writes to a stream."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        super().__init__()
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(_MOST_LINES)
        self._thread = threading.Thread(target=self._write, name="edgehar-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the line of a record."""
        try:
            self.write(self.format(record))
        except Exception:
            self.handleError(record)

    def write(self, line: str) -> None:
        """Queue a line."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            return

    def finish(self, timeout_s: float = 1.0) -> None:
        """Write the lines that wait, for at most `timeout_s` seconds, and end the thread."""
        try:
            self._lines.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(f"{line}\n")
                self._stream.flush()
            except (OSError, ValueError):
                continue
