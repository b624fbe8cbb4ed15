"""What a long command is at, on a line of standard error that is written over."""

from __future__ import annotations

import logging
import sys
from typing import Self, TextIO

_log = logging.getLogger(__name__)
_CLEAR = "\r\033[K"


class Progress:
    """Says what is being done; on anything but a terminal, only when a new part begins."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._part = ""

    def say(self, what: str) -> None:
        """Say what comes next: `part: details`."""
        if self._stream.isatty():
            print(f"{_CLEAR}{what}", end="", file=self._stream, flush=True)
            return
        part = what.partition(":")[0]
        if part != self._part:
            _log.info("measuring %s", part)
        self._part = part

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream.isatty():
            print(_CLEAR, end="", file=self._stream, flush=True)
