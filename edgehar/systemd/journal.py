"""Log lines for systemd's journal: with their level, and without the program's name, which the journal adds."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

# Syslog levels.
_LEVELS = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


class JournalFormatter(logging.Formatter):
    """Lines that start with their level, as `<4>` (sd-daemon(3)), so that `journalctl -p warning` works."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines of a record."""
        level = next((number for least, number in _LEVELS if record.levelno >= least), _DEBUG)
        # Every line is a journal entry.
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def is_journal(stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether `stream` goes to the journal, whose device and inode systemd names in JOURNAL_STREAM."""
    if stream is None:  # closed by the parent process
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"
