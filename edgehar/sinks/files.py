"""Records as JSON Lines in a file that is rotated: `events.jsonl` becomes `events.jsonl.1`, then `.2` and so on."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import ConfigError
from edgehar.records import Prediction, Status
from edgehar.sinks.base import Sink

if TYPE_CHECKING:
    from edgehar.records import Record
    from edgehar.sinks.options import FileOptions

_log = logging.getLogger(__name__)


class FileSink(Sink):
    """Writes predictions and events, one JSON object per line. Each is in the file when `write` returns.

    Lines that a full or failing disk does not take are counted and dropped, always whole ones.

    Attributes:
        dropped: lines dropped so far.
    """

    name = "file"
    essential = False

    def __init__(self, options: FileOptions) -> None:
        """Open the file for appending, or create it with mode 0600. An existing file keeps its mode.

        Raises:
            ConfigError: the file cannot be opened, or is neither a file nor a device.
        """
        if options.path is None:
            raise ConfigError("file: path is not set; set it to a file for the records")
        self._path = Path(options.path).expanduser().resolve()
        self._max_bytes, self._keep, self._predictions = int(options.max_mb * 1e6), options.keep, options.predictions
        self._encoder = msgspec.json.Encoder()
        self.dropped = 0
        self._in_trouble = False
        # Whether the file ends with half a line, as a power cut leaves it. A line feed then precedes the next line.
        self._torn = False
        self._descriptor: int | None = None
        try:
            # Not a pipe, because opening one waits for its reader.
            if self._path.exists() and not (self._path.is_file() or self._path.is_char_device()):
                raise ConfigError(f"{self._path}: is neither a file nor a device; choose another path for the records")
            self._descriptor = self._open()
        except OSError as error:
            raise ConfigError(
                f"{self._path}: cannot be written: {error.strerror}; choose a path in a folder that exists and that "
                "this user can write"
            ) from error

    def write(self, record: Record) -> None:
        """Write one line. Never raises because of the disk."""
        if isinstance(record, Status) or (isinstance(record, Prediction) and not self._predictions):
            return
        try:
            self._write_line(self._encoder.encode(record) + b"\n")
        except OSError as error:
            self.dropped += 1
            if not self._in_trouble:
                self._in_trouble = True
                _log.warning(
                    "%s: cannot be written: %s; classification continues, records are dropped until it can",
                    self._path,
                    error.strerror,
                )
        else:
            if self._in_trouble:
                self._in_trouble = False
                _log.info("%s: written again; %d records were dropped so far", self._path, self.dropped)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self.dropped:
            _log.warning("%s: %d records were dropped", self._path, self.dropped)

    def _open(self) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOCTTY, 0o600)
        size = os.fstat(descriptor).st_size
        self._torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        return descriptor

    def _write_line(self, line: bytes) -> None:
        descriptor, now = self._current()
        if stat.S_ISREG(now.st_mode) and now.st_size and now.st_size + len(line) > self._max_bytes:
            self._rotate(stat.S_IMODE(now.st_mode))
            descriptor, now = self._current()
        line = b"\n" + line if self._torn else line
        written = 0
        try:
            while written < len(line):
                written += os.write(descriptor, line[written:])
        except OSError:
            if written and stat.S_ISREG(now.st_mode):
                os.ftruncate(descriptor, now.st_size)
            raise
        self._torn = False

    def _current(self) -> tuple[int, os.stat_result]:
        """Return descriptor and state of the file, reopened if another program has moved or removed it."""
        if self._descriptor is not None:
            now = os.fstat(self._descriptor)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(now, self._path.stat()):
                    return self._descriptor, now
            os.close(self._descriptor)
            self._descriptor = None
        self._descriptor = self._open()
        return self._descriptor, os.fstat(self._descriptor)

    def _rotate(self, mode: int) -> None:
        for number in range(self._keep - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))
        if self._keep:
            self._path.replace(self._numbered(1))
        else:
            self._path.unlink()
        descriptor, _ = self._current()
        os.fchmod(descriptor, mode)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
