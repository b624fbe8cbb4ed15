"""The dead-letter file of a spool: events that their receiver refused, as JSON Lines."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import msgspec

from edgehar.records import utc_now

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

# Size in bytes at which the file is renamed to NAME.refused.1, in place of an earlier one.
_MAX_BYTES = 1_000_000


class RefusedFile:
    """One line for each event: when, why, its id, and the event itself."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is created with mode 0600 when it is needed."""
        self._path = path

    def add(self, id: str, payload: bytes, reason: str) -> None:  # noqa: A002 - the record's own word
        """Add an event. If the disk does not take it, the event is logged instead."""
        line = msgspec.json.encode({"time": utc_now(), "reason": reason, "id": id, "event": _as_json(payload)}) + b"\n"
        try:
            descriptor = os.open(
                self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            try:
                os.write(descriptor, line)
                full = os.fstat(descriptor).st_size > _MAX_BYTES
            finally:
                os.close(descriptor)
            if full:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        except OSError as error:
            _log.error("%s: cannot be written: %s; refused event: %s", self._path, error.strerror, line.decode())


def _as_json(payload: bytes) -> msgspec.Raw | str:
    try:
        msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return payload.decode(errors="replace")
    return msgspec.Raw(payload)
