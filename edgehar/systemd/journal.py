"""Log lines as systemd's journal wants them: with their level, and without the name it adds itself."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

# Levels of syslog.
_LEVELS = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


class JournalFormatter(logging.Formatter):
    """Lines that begin with their level as sd-daemon(3) writes it, as `<4>`, so that `journalctl -p warning` works."""

    def format(self, record: logging.LogRecord) -> str:
        """The line or lines of a record."""
        level = next((number for least, number in _LEVELS if record.levelno >= least), _DEBUG)
        # Every line is an entry of its own.
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def is_journal(stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether what is written to `stream` goes to the journal: systemd then names its device and inode."""
    if stream is None:  # closed by who started us
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"
