"""A queue on disk: what one sink has yet to deliver, kept over outages of its receiver and ends of this process.

Events that a full or failing disk does not take are held in memory, and stored when the disk works again. No method
raises because of the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import logging
import math
import os
import re
import stat
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from edgehar.errors import SinkError
from edgehar.sinks.spool.log import EventLog
from edgehar.sinks.spool.options import SpoolOptions, state_directory
from edgehar.sinks.spool.record import SpoolRow
from edgehar.sinks.spool.refused import RefusedFile
from edgehar.sinks.spool.sqlite import rows_of_sqlite
from edgehar.sinks.spool.state import DeviceClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger(__name__)

# Events held in memory while the disk takes none; the oldest are dropped first.
HELD_MAX = 1000
# Interval of log lines about dropped events, in seconds.
_REPORT_EVERY_S = 60.0
# Bounds of the size of a file, which is a 128th of what the spool may hold.
_SEGMENT_BYTES = (64 * 1024, 8 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """One undelivered event.

    Attributes:
        sequence: its place in the queue; later events have higher ones.
        id: identifies the event when it is delivered twice.
        payload: the bytes to deliver.
        age_s: seconds since it was stored in which the device was on.
    """

    sequence: int
    id: str
    payload: bytes
    age_s: float


class Spool:
    """A bounded queue of events on disk, for one sink. All methods may be called from any thread.

    `depth`, `on_disk`, `dropped` and `refused` take no lock, so that reading them never waits for a disk.

    Attributes:
        name: what it is called in logs, and its files.
        depth: events that wait.
        on_disk: events that wait and are on disk.
        dropped: events lost undelivered since it was opened: beyond a limit, too old, damaged, or lost to the disk.
        refused: events set aside since it was opened, because the receiver refused them.
    """

    def __init__(
        self, name: str, path: Path | None, options: SpoolOptions, *, clock: DeviceClock, lock: int | None = None
    ) -> None:
        """Read the files; use `Spool.open` or `Spool.in_memory`.

        Args:
            name: what it is called in logs.
            path: `FOLDER/NAME.spool`; None to hold up to `HELD_MAX` events in memory only.
            options: its limits.
            clock: measures the age of events.
            lock: descriptor of the locked `FOLDER/NAME.lock`, with a path.
        """
        self.name = name
        self.depth = self.on_disk = self.dropped = self.refused = 0
        self._path, self._options, self._clock = path, options, clock
        self._max_bytes, self._max_age_s = int(options.max_mb * 1e6), options.max_age_h * 3600
        self._changing = threading.RLock()
        # Guarded by `_changing`. Events held in memory are newer than all on disk.
        self._events: EventLog | None = None
        self._held: deque[SpoolRow] = deque()
        self._delivered: set[int] = set()  # but not removed from the disk yet
        self._trouble: str | None = None
        self._reported_s, self._reported = -math.inf, 0
        # With a path, None after someone removed the files: another process may have created and locked them since.
        self._lock = lock
        self._closed = False
        self._last = 0
        self._settle()
        if self._events is None or not self._events.last:
            # Above the numbers in files that cannot be opened now: those began with an earlier time.
            self._last = max(self._last, int(time.time() * 1e6))
        self._count()

    @classmethod
    def open(
        cls,
        name: str,
        options: SpoolOptions,
        *,
        clock: Callable[[], float] | None = None,
        boot_id: str | None = None,
    ) -> Self:
        """Open the queue `name`. Creates its folder (mode 0700) and files (0600) if they do not exist.

        Args:
            name: letters, digits, `.`, `_` and `-`.
            options: folder and limits.
            clock: seconds since the boot, for tests.
            boot_id: identifies the boot, for tests.

        Raises:
            SinkError: the folder cannot be created or written, or another process uses the queue.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
            raise ValueError(f"{name!r} is not a valid file name")
        folder = state_directory() if options.directory is None else Path(options.directory).expanduser()
        lock = _lock_file(folder, name)
        try:
            return cls(name, folder / f"{name}.spool", options, clock=DeviceClock(clock, boot_id), lock=lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def in_memory(cls, name: str, options: SpoolOptions | None = None) -> Self:
        """Return a queue that ends with the process and holds `HELD_MAX` events at most."""
        return cls(name, None, options or SpoolOptions(), clock=DeviceClock())

    def append(self, payload: bytes, id: str) -> int:  # noqa: A002 - the record's own word
        """Add an event. When this returns, killing the process does not lose it.

        Beyond the limits the oldest events are dropped. A single event larger than the limit is not stored. If the disk
        is full or failing, the event is kept in memory.

        Returns:
            The event's sequence number.
        """
        with self._changed():
            self._last += 1
            row = SpoolRow(self._last, id, self._clock(), payload)
            if row.size > self._max_bytes:
                self._count_dropped(1, f"one of {len(payload)} bytes is over max_mb")
            else:
                self._held.append(row)
                self._settle()
            return row.sequence

    def peek(self, after_sequence: int = 0, limit: int = 100) -> list[SpooledEvent]:
        """Return the oldest events after `after_sequence`, in order, `limit` at most. They stay until removed."""
        with self._changed():
            self._settle()
            now_s = self._clock()
            rows = itertools.chain(self._rows_on_disk(after_sequence, limit), self._held)
            waiting = (row for row in rows if row.sequence > after_sequence)
            return [
                SpooledEvent(row.sequence, row.id, row.payload, max(0.0, now_s - row.time_s))
                for row in itertools.islice(waiting, limit)
            ]

    def remove(self, sequence: int) -> None:
        """Remove a delivered event, in any order. Does nothing if there is no such event."""
        with self._changed():
            self._check_open()
            if self._held and sequence >= self._held[0].sequence:
                self._held = deque(row for row in self._held if row.sequence != sequence)
            elif self._path is not None:
                self._delivered.add(sequence)
                self._settle()

    def set_aside(self, event: SpooledEvent, reason: str) -> None:
        """Move an event that the receiver refuses to the file of refused events, so that the others can go on."""
        with self._changed():
            if self._path is not None:
                RefusedFile(self._path.with_suffix(".refused")).add(event.id, event.payload, reason)
            self.refused += 1
            self.remove(event.sequence)

    def close(self) -> None:
        """Close the files and let others use them. Events that are only in memory are lost, and logged."""
        with self._changed():
            if self._closed:
                return
            self._settle()
            self._reported_s = -math.inf
            self._count_dropped(0, "in total")
            self._closed = True
            if self._events is not None:
                self._events.close()
            # The sink of a queue that was never on disk logs this itself.
            if self._held and self._path is not None:
                _log.warning("spool %s: %d events are lost: they are only in memory", self.name, len(self._held))
            if self._lock is not None:
                os.close(self._lock)

    @contextlib.contextmanager
    def _changed(self) -> Iterator[None]:
        """Hold the lock, and then bring the counts that are read without it up to date."""
        with self._changing:
            try:
                yield
            finally:
                self._count()

    def _count(self) -> None:
        on_disk = 0 if self._events is None else self._events.depth - len(self._delivered)
        self.on_disk, self.depth = on_disk, on_disk + len(self._held)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"spool {self.name} is closed")

    def _rows_on_disk(self, after_sequence: int, limit: int) -> list[SpoolRow]:
        if self._events is None:
            return []
        try:
            rows = self._events.rows(after_sequence, limit + len(self._delivered))
        except OSError as error:
            self._note_trouble(error)
            return []
        self._count_lost()
        return [row for row in rows if row.sequence not in self._delivered]

    def _settle(self) -> None:
        """Store the held events, and drop events beyond the limits."""
        self._check_open()
        if self._path is not None:
            try:
                self._store(self._path)
            except OSError as error:
                self._note_trouble(error)
            self._count_lost()
        horizon_s, most = self._clock() - self._max_age_s, min(HELD_MAX, self._options.max_events)
        while self._held and (len(self._held) > most or self._held[0].time_s < horizon_s):
            self._held.popleft()
            self._count_dropped(1, "only the newest are held in memory")

    def _store(self, path: Path) -> None:
        if self._events is not None and not self._events.is_there():
            self._give_up_files(path)
        if self._lock is None:
            self._lock = self._locked_again(path)
        if self._events is None:
            self._events = self._open_files(path)
        self._events.remove(self._delivered)
        self._delivered.clear()
        if surplus := self._surplus(self._events):
            self._events.remove({row for row in surplus if row <= self._events.last})
            self._held = deque(row for row in self._held if row.sequence not in surplus)
            self._count_dropped(len(surplus), "max_events, max_mb or max_age_h is reached")
        while self._held:
            self._events.append(self._held[0])
            self._held.popleft()
        if self._trouble is not None:
            self._trouble = None
            _log.info("spool %s: the disk takes events again", self.name)

    def _open_files(self, path: Path) -> EventLog:
        earlier = rows_of_sqlite(path)
        smallest, largest = _SEGMENT_BYTES
        events = EventLog(
            path,
            clock=self._clock,
            segment_bytes=min(max(self._max_bytes // 128, smallest), largest),
            sync=self._options.sync == "full",
        )
        if self._held and self._held[0].sequence <= events.last:
            # They were held before the files could be opened, and are newer.
            self._held = deque(
                SpoolRow(events.last + place, row.id, row.time_s, row.payload)
                for place, row in enumerate(self._held, 1)
            )
        for payload, row_id in earlier:
            events.append(SpoolRow(events.last + 1, row_id, self._clock(), payload))
        self._last = max(self._last, events.last)
        return events

    def _give_up_files(self, path: Path) -> None:
        """Keep in memory the events that can still be read from removed files, then close and unlock the files."""
        assert self._events is not None
        depth = self._events.depth - len(self._delivered)
        saved = [row for row in self._events.rows_still_open() if row.sequence not in self._delivered]
        self._delivered.clear()
        self._events.close()
        self._events = None
        self._held.extendleft(reversed(saved))
        _log.error(
            "spool %s: %s was removed while in use; creating it again, with %d of %d events",
            self.name, path, len(saved), depth,
        )  # fmt: skip
        self._count_dropped(depth - len(saved), "their files were removed")
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _locked_again(self, path: Path) -> int:
        """Create the folder again and lock the files in it. OSError if another process uses them or the disk fails."""
        try:
            return _lock_file(path.parent, self.name)
        except SinkError as error:
            raise OSError(errno.EBUSY, str(error)) from error

    def _surplus(self, events: EventLog) -> set[int]:
        """Return the numbers of the events beyond the limits, the oldest first."""
        held = ((row.sequence, row.time_s, row.size) for row in self._held)
        depth = events.depth + len(self._held)
        size = events.size + sum(row.size for row in self._held)
        horizon_s = self._clock() - self._max_age_s
        surplus: set[int] = set()
        for sequence, time_s, row_size in itertools.chain(events.waiting(), held):
            if depth <= self._options.max_events and size <= self._max_bytes and time_s >= horizon_s:
                break
            size, depth = size - row_size, depth - 1
            surplus.add(sequence)
        return surplus

    def _note_trouble(self, error: OSError) -> None:
        """Log a problem of the disk, once."""
        if self._trouble is None:
            self._trouble = error.strerror or str(error)
            _log.warning(
                "spool %s: %s: %s; the newest %d events are held in memory until the disk takes them",
                self.name, self._path, self._trouble, HELD_MAX,
            )  # fmt: skip

    def _count_lost(self) -> None:
        """Take over what the files have lost."""
        if self._events is not None and self._events.lost:
            lost, self._events.lost = self._events.lost, 0
            self._count_dropped(lost, self._events.why)

    def _count_dropped(self, count: int, why: str) -> None:
        self.dropped += count
        now_s = time.monotonic()
        if self.dropped > self._reported and now_s - self._reported_s >= _REPORT_EVERY_S:
            _log.warning("spool %s: %d events dropped undelivered so far: %s", self.name, self.dropped, why)
            self._reported_s, self._reported = now_s, self.dropped


def _lock_file(folder: Path, name: str) -> int:
    """Return the descriptor of the locked `NAME.lock`, which is never removed."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _warn_of_others(folder)
        lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SinkError(
            f"{folder}: cannot store undelivered events: {error.strerror}; make it a folder that this user can "
            "write, or set directory under [spool]"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise SinkError(
            f"{folder}/{name}.spool is used by another edgehar (process {owner}); stop it, or give each its own "
            "directory under [spool]"
        ) from error
    with contextlib.suppress(OSError):  # a full disk; it is only for the message above
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _warn_of_others(folder: Path) -> None:
    """Log if other users may write to the folder, and so delete or replace the files in it."""
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        _log.warning(
            "%s: every user of this machine can delete the events in it (mode %o); run: chmod 700 %s",
            folder, stat.S_IMODE(mode), folder,
        )  # fmt: skip
