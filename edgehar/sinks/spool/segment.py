"""One file of a spool: events are appended until it is full, and read where they are."""

from __future__ import annotations

import contextlib
import os
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from edgehar.sinks.spool.record import EVENT, Entry, SpoolRow, read_row, scan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Zeros are written in pieces of this size.
_ZEROS = bytes(65_536)


class Segment:
    """A file of records, and an index of its events in memory: 29 bytes an event. All methods may raise OSError.

    Attributes:
        path: the file.
        end: where the next record goes.
        capacity: bytes of a file that keeps its size, whose records overwrite zeros: that needs no space on a full
            disk. None for a file that grows.
        depth: events that wait.
        size: bytes of the events that wait.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it with mode 0600; `load` reads what is in it."""
        self.path = path
        self.end = self.depth = self.size = 0
        self.capacity: int | None = None
        self._sequences, self._offsets, self._sizes = array("Q"), array("Q"), array("L")
        self._times, self._waiting = array("d"), bytearray()
        # Events before this place are all removed.
        self._head = 0
        self._descriptor: int | None = self._open(os.O_CREAT)

    def _open(self, flags: int = 0) -> int:
        return os.open(self.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)

    def load(self) -> Iterator[Entry | bytes]:
        """Read the file, and yield every valid record and every stretch of damaged bytes."""
        with self._opened() as descriptor:
            content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        in_order = True
        for found in scan(content):
            if isinstance(found, tuple):
                yield content[slice(*found)]
                continue
            self.end = found.offset + found.size
            if found.kind == EVENT:
                in_order = in_order and not (self._sequences and found.sequence <= self._sequences[-1])
                self._index(found.sequence, found.offset, found.size, found.time_s)
            yield found
        if not in_order:
            self._sort()
        # Space after the last record is zeros, or the rest of a record that was not finished.
        rest = content[self.end :]
        self.capacity = len(content) if rest and rest.count(0) == len(rest) else None

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        if self._descriptor is not None:
            yield self._descriptor
            return
        descriptor = self._open()
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _sort(self) -> None:
        """Put the index in order, after damage that moved or repeated records."""
        columns = zip(self._sequences, self._offsets, self._sizes, self._times, strict=True)
        events = {sequence: (offset, size, time_s) for sequence, offset, size, time_s in columns}
        self._clear()
        for sequence in sorted(events):
            self._index(sequence, *events[sequence])

    def _clear(self) -> None:
        self.depth = self.size = self._head = 0
        for column in (self._sequences, self._offsets, self._sizes, self._times):
            del column[:]
        self._waiting.clear()

    def _index(self, sequence: int, offset: int, size: int, time_s: float) -> None:
        self._sequences.append(sequence)
        self._offsets.append(offset)
        self._sizes.append(size)
        self._times.append(time_s)
        self._waiting.append(1)
        self.depth += 1
        self.size += size

    def append(self, record: bytes, row: SpoolRow | None, *, sync: bool) -> None:
        """Write a record, whole or not at all: of an event if `row` is given."""
        assert self._descriptor is not None
        written = 0
        try:
            while written < len(record):
                written += os.pwrite(self._descriptor, record[written:], self.end + written)
            if sync:
                os.fdatasync(self._descriptor)
        except OSError:
            self._cut(written)
            raise
        if row is not None:
            self._index(row.sequence, self.end, len(record), row.time_s)
        self.end += len(record)

    def _cut(self, written: int) -> None:
        """Take back what was written of a record."""
        assert self._descriptor is not None
        with contextlib.suppress(OSError):
            if self.capacity is not None:
                os.pwrite(self._descriptor, bytes(written), self.end)
            else:
                os.ftruncate(self._descriptor, self.end)

    def remove(self, first: int, last: int) -> int:
        """Note in the index that the events from `first` to `last` no longer wait. Returns how many did."""
        removed = 0
        for place in range(bisect_left(self._sequences, first), bisect_right(self._sequences, last)):
            if self._waiting[place]:
                self._waiting[place] = 0
                self.size -= self._sizes[place]
                removed += 1
        self.depth -= removed
        while self._head < len(self._waiting) and not self._waiting[self._head]:
            self._head += 1
        return removed

    def waiting(self, after: int = 0) -> Iterator[tuple[int, float, int]]:
        """Yield number, time and size of each event that waits and has a number above `after`."""
        for place in range(max(self._head, bisect_right(self._sequences, after)), len(self._sequences)):
            if self._waiting[place]:
                yield self._sequences[place], self._times[place], self._sizes[place]

    def rows(self, after: int, limit: int) -> tuple[list[SpoolRow], list[int]]:
        """Read the first events above `after` that wait. Returns them, and the numbers of damaged ones among them."""
        rows: list[SpoolRow] = []
        damaged: list[int] = []
        with self._opened() as descriptor:
            for sequence, _, size in self.waiting(after):
                if len(rows) >= limit:
                    break
                place = bisect_left(self._sequences, sequence)
                row = read_row(os.pread(descriptor, size, self._offsets[place]))
                if row is not None and row.sequence == sequence:
                    rows.append(row)
                else:
                    damaged.append(sequence)
        return rows, damaged

    def is_there(self) -> bool:
        """Whether the open file is still what the path names."""
        if self._descriptor is None:
            return True
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def seal(self, path: Path) -> None:
        """Rename the file, to which nothing more is appended."""
        self.path.rename(path)
        self.path = path
        self.close()

    def empty(self) -> None:
        """Delete all records; a file of a fixed size keeps it."""
        assert self._descriptor is not None
        if self.capacity is not None:
            _write_zeros(self._descriptor, self.end)
        else:
            os.ftruncate(self._descriptor, 0)
        self.end = 0
        self._clear()

    def cut_unfinished(self) -> None:
        """Delete the bytes after the last record, unless they are space to write to."""
        if self.capacity is None and self._descriptor is not None:
            os.ftruncate(self._descriptor, self.end)

    def close(self) -> None:
        """Close the file; what is in it can still be read."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _write_zeros(descriptor: int, size: int) -> None:
    for offset in range(0, size, len(_ZEROS)):
        os.pwrite(descriptor, _ZEROS[: size - offset], offset)


def fill_with_zeros(path: Path) -> None:
    """Overwrite a file with zeros, which needs no space on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _write_zeros(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def allocate(path: Path, size: int) -> bool:
    """Create a file of `size` zeros whose space is reserved on the disk; returns whether there is room for it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        return False
    finally:
        os.close(descriptor)
    return True
