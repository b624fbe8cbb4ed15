"""The files of a spool: numbered segments, a reserve for a full disk, and the state."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from edgehar.sinks.spool.record import EVENT, REMOVAL, Entry, SpoolRow, encode_event, encode_removal
from edgehar.sinks.spool.segment import Segment, allocate, fill_with_zeros
from edgehar.sinks.spool.state import DeviceClock, SpoolState, StateFile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

# Files of a segment's size that are kept free for when the disk is full.
RESERVE_FILES = 4
# Bytes of damage that are kept in NAME.damaged.
_DAMAGED_BYTES = 1_000_000
# Smallest file that is overwritten on a full disk.
_REUSED_BYTES = 64_000
_FULL = {errno.ENOSPC, errno.EDQUOT}


class EventLog:
    """Events in files, in order. Nothing else may have them open. All methods may raise OSError.

    Events are appended to `NAME.spool`. When that is full, it is renamed to `NAME.spool.00000001` and so on, and a new
    one begins. A file whose events are all removed is deleted.

    On a full disk the reserve becomes the next file. When the reserve is used up, the oldest file is overwritten in
    place, so that another program that writes to the disk cannot take its space.

    Attributes:
        first: first number of the unbroken run of numbers up to `last`.
        last: highest number given to an event, 0 if there was none.
        lost: events that were found missing or damaged since this was created, or that had to go on a full disk.
        why: the reason for the last of them.
    """

    def __init__(self, path: Path, *, clock: DeviceClock, segment_bytes: int, sync: bool) -> None:
        """Open the files, or create them with mode 0600, and check every event in them.

        Args:
            path: `FOLDER/NAME.spool`.
            clock: the spool's clock; it continues from where it was when the files were written.
            segment_bytes: size of a file.
            sync: whether every event must be on the disk, and not only with the kernel.
        """
        self._path, self._clock, self._sync = path, clock, sync
        self._segment_bytes = segment_bytes
        self.first = self.last = self.lost = 0
        self.why = ""
        self._reserve = [path.with_suffix(f".reserve.{number}") for number in range(1, RESERVE_FILES + 1)]
        self._state = StateFile(path.with_suffix(".state"))
        self._segments: list[Segment] = []
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        self._path.with_suffix(".reserve.0").unlink(missing_ok=True)
        sealed = sorted(
            file
            for file in self._path.parent.glob(f"{self._path.name}.*")
            if file.suffix[1:].isdecimal() and file.is_file()
        )
        self._number = max((int(file.suffix[1:]) for file in sealed), default=0)
        found = _Inventory()
        for path in (*sealed, self._path):
            segment = Segment(path)
            self._segments.append(segment)
            for item in segment.load():
                found.add(item)
            if path != self._path:
                segment.close()
        self._active.cut_unfinished()
        for first, last in found.removed:
            self._forget(first, last)
        self._continue(found)
        self._count_missing(found)
        self._tidy()
        self.refill_reserve()

    @property
    def _active(self) -> Segment:
        return self._segments[-1]

    def _continue(self, found: _Inventory) -> None:
        """Continue numbers and clock from the state and the events."""
        stored = self._state.state
        if stored is not None:
            self.first, self.last = stored.first, stored.last
            self._clock.continue_from(stored)
        if found.runs and (newest := max(found.runs.items(), key=lambda run: run[1]))[1] > self.last:
            self.first, self.last = newest
        self._clock.not_before(found.newest_s)

    def _count_missing(self, found: _Inventory) -> None:
        """Count the events that were stored and are neither there nor removed, and note that they are counted."""
        stored, runs = self._state.state, dict(found.runs)
        base = stored.base if stored is not None else min((first for first, _ in found.events), default=0)
        if stored is not None and stored.last:
            runs[stored.first] = max(runs.get(stored.first, 0), stored.last)
        gaps = _gaps([(max(first, base), last) for first, last in runs.items()], found.events + found.removed)
        missing = sum(last - first + 1 for first, last in gaps)
        if missing:
            self._count_lost(missing, "damaged or missing in the spool's files")
            self._set_aside(found.damaged)
            with contextlib.suppress(OSError):
                for first, last in gaps:
                    self._write(encode_removal(first, last), None)

    def _set_aside(self, damaged: Collection[bytes]) -> None:
        """Keep damaged bytes in NAME.damaged, for whoever wants to look at them."""
        content = b"\n".join(damaged)[:_DAMAGED_BYTES]
        if not content:
            return
        with contextlib.suppress(OSError):
            path = self._path.with_suffix(".damaged")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, content)
            finally:
                os.close(descriptor)

    def _count_lost(self, count: int, why: str) -> None:
        self.lost += count
        self.why = why

    @property
    def depth(self) -> int:
        """Events that wait."""
        return sum(segment.depth for segment in self._segments)

    @property
    def size(self) -> int:
        """Bytes of the events that wait."""
        return sum(segment.size for segment in self._segments)

    def waiting(self) -> Iterator[tuple[int, float, int]]:
        """Yield number, time and size of each event, the oldest first."""
        for segment in self._segments:
            yield from segment.waiting()

    def append(self, row: SpoolRow) -> None:
        """Add an event, whose number is above all others."""
        if row.sequence != self.last + 1:
            self.first = row.sequence
        self._write(encode_event(row, self.first), row)
        self.last = row.sequence
        self.write_state()

    def remove(self, sequences: Collection[int]) -> None:
        """Remove events."""
        if not sequences:
            return
        for first, last in _ranges(sequences):
            self._write(encode_removal(first, last), None)
            self._forget(first, last)
        self._tidy()
        self.write_state()

    def rows(self, after: int, limit: int) -> list[SpoolRow]:
        """Read the first events above a number; those found damaged or missing are counted and removed."""
        rows: list[SpoolRow] = []
        for segment in list(self._segments):
            if len(rows) >= limit:
                break
            try:
                found, damaged = segment.rows(after, limit - len(rows))
            except FileNotFoundError:
                found, damaged = [], [sequence for sequence, _, _ in segment.waiting()]
            rows += found
            if damaged:
                self._count_lost(len(damaged), "damaged or missing in the spool's files")
                # In memory at once, because the disk may not take the note.
                for sequence in damaged:
                    segment.remove(sequence, sequence)
                with contextlib.suppress(OSError):
                    self.remove(damaged)
        return rows

    def is_there(self) -> bool:
        """Whether the files are still in the folder."""
        return self._active.is_there()

    def rows_still_open(self) -> list[SpoolRow]:
        """Return the events that can be read without a path, after someone removed the files."""
        rows, _ = self._active.rows(0, self._active.depth)
        return rows

    def write_state(self) -> None:
        """Store the state: after every change, and now and then for the clock."""
        base = next((sequence for sequence, _, _ in self.waiting()), self.last + 1)
        clock = self._clock
        # Without it all works on: it serves to count what vanishes.
        with contextlib.suppress(OSError):
            self._state.write(SpoolState(0, self.first, self.last, base, clock(), clock.boot_s, clock.boot_id))

    def refill_reserve(self) -> None:
        """Keep space on the disk free for the spool, as far as there is any."""
        for path in self._reserve:
            if not path.exists() and not allocate(path, self._segment_bytes):
                return

    def close(self) -> None:
        """Close the files."""
        with contextlib.suppress(OSError, IndexError):
            self.write_state()
        for segment in self._segments:
            with contextlib.suppress(OSError):
                segment.close()
        self._state.close()

    def _forget(self, first: int, last: int) -> None:
        for segment in self._segments:
            segment.remove(first, last)

    def _tidy(self) -> None:
        """Delete files whose events are all removed."""
        while len(self._segments) > 1 and not self._segments[0].depth:
            self._discard(self._segments.pop(0))
        if len(self._segments) == 1 and not self._active.depth and self._active.end > self._segment_bytes // 2:
            # First the state, so that the removed events are not taken for missing ones.
            self.write_state()
            self._active.empty()

    def _discard(self, segment: Segment) -> None:
        """Delete a file, or make it part of the reserve where that is not complete."""
        free = next((path for path in self._reserve if not path.exists()), None)
        if free is None or segment.end < self._segment_bytes // 2:
            segment.path.unlink(missing_ok=True)
            return
        spare = self._path.with_suffix(".reserve.0")
        segment.path.rename(spare)
        fill_with_zeros(spare)
        spare.rename(free)

    def _write(self, record: bytes, row: SpoolRow | None) -> None:
        """Append a record, in the next file if this one is full, on whatever space there is."""
        if not self._segments:
            self._segments.append(Segment(self._path))
        most = self._active.capacity or self._segment_bytes
        if self._active.end and self._active.end + len(record) > most:
            self._begin_segment(len(record))
        try:
            self._active.append(record, row, sync=self._sync and row is not None)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self._begin_segment_on_full_disk(error, len(record))
            self._active.append(record, row, sync=self._sync and row is not None)

    def _begin_segment(self, size: int) -> None:
        try:
            self._seal()
            self._segments.append(Segment(self._path))
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self._begin_segment_on_full_disk(error, size)
        else:
            self.refill_reserve()

    def _seal(self) -> None:
        if self._segments and not self._active.end:
            self._segments.pop().close()
            self._path.unlink()
        elif self._segments and self._active.path == self._path:
            self._number += 1
            self._active.seal(self._path.with_name(f"{self._path.name}.{self._number:08d}"))

    def _begin_segment_on_full_disk(self, error: OSError, size: int) -> None:
        """Use a file of the reserve, or else the oldest file, whose events are lost."""
        if size > self._segment_bytes:
            raise error
        free = next((path for path in self._reserve if path.exists()), None)
        if free is None:
            free = self._oldest_freed(error, size)
        self._seal()
        free.rename(self._path)
        segment = Segment(self._path)
        for _ in segment.load():
            pass
        self._segments.append(segment)

    def _oldest_freed(self, error: OSError, size: int) -> Path:
        """Drop the events of the oldest file that is worth it, and return the file, full of zeros."""
        least = max(_REUSED_BYTES, size)
        worth = next((place for place, file in enumerate(self._segments) if file.end >= least), None)
        if worth is None:
            raise error
        self._seal()
        oldest, self._segments = self._segments[: worth + 1], self._segments[worth + 1 :]
        if lost := sum(file.depth for file in oldest):
            self._count_lost(lost, "the disk is full")
        # Before the events are overwritten, so that they are not counted again as missing.
        self.write_state()
        for file in oldest[:-1]:
            file.path.unlink(missing_ok=True)
        free = self._path.with_suffix(".reserve.0")
        oldest[-1].path.rename(free)
        fill_with_zeros(free)
        return free


class _Inventory:
    """The contents of a spool's files.

    Attributes:
        events: stretches of numbers of the events.
        removed: stretches of numbers of removed events.
        runs: last number of each unbroken run of numbers, by its first.
        newest_s: the latest time of an event, in seconds of the spool's clock.
        damaged: damaged bytes.
    """

    def __init__(self) -> None:
        self.events: list[tuple[int, int]] = []
        self.removed: list[tuple[int, int]] = []
        self.runs: dict[int, int] = {}
        self.newest_s = 0.0
        self.damaged: list[bytes] = []

    def add(self, item: Entry | bytes) -> None:
        if isinstance(item, bytes):
            self.damaged.append(item)
        elif item.kind == EVENT:
            _extend(self.events, item.sequence, item.sequence)
            self.runs[item.first] = max(self.runs.get(item.first, 0), item.sequence)
            self.newest_s = max(self.newest_s, item.time_s)
        elif item.kind == REMOVAL:
            _extend(self.removed, item.first, item.sequence)


def _extend(stretches: list[tuple[int, int]], first: int, last: int) -> None:
    if stretches and stretches[-1][1] + 1 == first:
        stretches[-1] = (stretches[-1][0], last)
    else:
        stretches.append((first, last))


def _ranges(sequences: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last number of each unbroken run."""
    first = last = None
    for sequence in sorted(sequences):
        if last is not None and sequence == last + 1:
            last = sequence
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = sequence
    if first is not None and last is not None:
        yield first, last


def _gaps(given_out: list[tuple[int, int]], accounted: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the stretches of numbers in `given_out` that are not in `accounted`."""
    gaps = []
    covered = sorted(accounted)
    for first, last in given_out:
        position = first
        for start, end in covered:
            if end < position:
                continue
            if start > last:
                break
            if start > position:
                gaps.append((position, start - 1))
            position = max(position, end + 1)
        if position <= last:
            gaps.append((position, last))
    return gaps
