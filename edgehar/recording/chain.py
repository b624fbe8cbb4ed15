"""The ledger of a recording folder: one line per clip, removal and upload, each with the hash of the line before it.

A line that is altered, removed or reordered breaks the chain. Whoever can write the folder can also write a new chain:
compare the newest hash with one that left the device (`edgehar clips verify --head`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from edgehar.errors import SinkError
from edgehar.files import sync_folder
from edgehar.records import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEDGER = "chain.jsonl"
_ZERO = "0" * 64

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of the ledger.

    Attributes:
        number: 1 for the first line, and one more for each that follows.
        kind: "clip": a recording was finished; "removed": it was removed on purpose; "uploaded": a server has it.
        time: wall-clock time (UTC, ISO 8601).
        path: the recording: path of its files in the folder, without suffix.
        files: SHA-256 of each file of the recording as stored, by its suffix.
        why: the rule that removed it, or the address it was uploaded to.
        previous: SHA-256 of the line before this one, without its line end; 64 zeros in the first line.
    """

    number: int
    kind: Literal["clip", "removed", "uploaded"]
    time: str
    path: str
    files: dict[str, Sha256] = {}
    why: str = ""
    previous: Sha256 = _ZERO


class Chain:
    """The ledger of one folder. Several processes may use it: appending takes a lock."""

    def __init__(self, folder: Path) -> None:
        """Use the ledger in a folder, which must exist; the file is created by the first `append`."""
        self.path = folder / LEDGER
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Line)
        self._reading = threading.Lock()
        self._inode = self._read_bytes = 0
        self._there: dict[str, Line] = {}
        self._uploaded: set[str] = set()

    def append(
        self,
        kind: Literal["clip", "removed", "uploaded"],
        path: str,
        files: dict[str, str] | None = None,
        why: str = "",
    ) -> Line:
        """Add a line and flush it to the disk.

        Raises:
            OSError: the disk is full or fails; the ledger is as before.
            SinkError: the last line cannot be read.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = self._end_of_whole_lines(descriptor)
            number, previous = self._last(descriptor, size)
            line = Line(
                number=number + 1, kind=kind, time=utc_now(), path=path, files=files or {}, why=why, previous=previous
            )
            self._write(descriptor, self._encoder.encode(line) + b"\n", size)
        finally:
            os.close(descriptor)
        return line

    def lines(self) -> Iterator[tuple[int, Line | None, str]]:
        """Give for each line its place from 1, the line (None if it cannot be read), and its SHA-256."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return
        for place, raw in enumerate(text.splitlines(), 1):
            line = None
            with contextlib.suppress(msgspec.MsgspecError):
                line = self._decoder.decode(raw)
            yield place, line, hashlib.sha256(raw).hexdigest()

    def head(self) -> str:
        """Return the SHA-256 of the newest line; 64 zeros if there is none."""
        head = _ZERO
        for _, _, digest in self.lines():
            head = digest
        return head

    def recordings(self) -> dict[str, Line]:
        """Return the clips that were finished and not removed, oldest first, by their path."""
        with self._reading:
            self._read_on()
            return dict(self._there)

    def uploaded(self) -> set[str]:
        """Return the paths of recordings that a server has."""
        with self._reading:
            self._read_on()
            return set(self._uploaded)

    def _read_on(self) -> None:
        """Read the lines that were added since the last call: a ledger grows over years."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._read_bytes:
                    self._inode, self._read_bytes = status.st_ino, 0
                    self._there, self._uploaded = {}, set()
                file.seek(self._read_bytes)
                added = file.read()
        except FileNotFoundError:
            self._inode, self._read_bytes, self._there, self._uploaded = 0, 0, {}, set()
            return
        whole = added.rfind(b"\n") + 1
        self._read_bytes += whole
        for raw in added[:whole].splitlines():
            with contextlib.suppress(msgspec.MsgspecError):
                self._count(self._decoder.decode(raw))

    def _count(self, line: Line) -> None:
        if line.kind == "clip":
            self._there[line.path] = line
        elif line.kind == "removed":
            self._there.pop(line.path, None)
        else:
            self._uploaded.add(line.path)

    def _end_of_whole_lines(self, descriptor: int) -> int:
        """Cut off half a line, which a power cut leaves; return the size."""
        size = os.fstat(descriptor).st_size
        if not size or os.pread(descriptor, 1, size - 1) == b"\n":
            return size
        whole = os.pread(descriptor, size, 0).rfind(b"\n") + 1
        os.ftruncate(descriptor, whole)
        return whole

    def _last(self, descriptor: int, size: int) -> tuple[int, str]:
        """Return the number and SHA-256 of the last line."""
        if not size:
            return 0, _ZERO
        begin = max(0, size - 65_536)
        raw = os.pread(descriptor, size - begin, begin).rstrip(b"\n").rpartition(b"\n")[2]
        try:
            return self._decoder.decode(raw).number, hashlib.sha256(raw).hexdigest()
        except msgspec.MsgspecError as error:
            raise SinkError(
                f"{self.path}: its last line cannot be read ({error}); move the file aside to begin another chain"
            ) from None

    def _write(self, descriptor: int, data: bytes, size: int) -> None:
        try:
            written = os.write(descriptor, data)
            if written < len(data):
                raise OSError(28, os.strerror(28))
            os.fsync(descriptor)
            if not size:
                sync_folder(self.path.parent)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
