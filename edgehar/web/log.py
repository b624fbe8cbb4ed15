"""The latest lines of the log, for the pages."""

from __future__ import annotations

import datetime
import logging
from collections import deque

from edgehar.printable import printable
from edgehar.web.answers import LogLine

_LINES = 200


class LogKeeper(logging.Handler):
    """Keeps the latest lines. Thread-safe, and takes microseconds."""

    def __init__(self) -> None:
        """Begin without a line."""
        super().__init__(logging.INFO)
        self._lines: deque[LogLine] = deque(maxlen=_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        try:
            text = printable(record.getMessage())
        except Exception:
            self.handleError(record)
            return
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._lines.append(LogLine(time, record.levelname.lower(), text))

    def lines(self) -> list[LogLine]:
        """Return the lines, oldest first."""
        return list(self._lines)

    def start(self) -> None:
        """Begin to keep lines."""
        logging.getLogger().addHandler(self)

    def stop(self) -> None:
        """Stop keeping lines."""
        logging.getLogger().removeHandler(self)
