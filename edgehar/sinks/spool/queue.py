"""A queue on disk: what one sink has yet to deliver, kept over outages of its receiver and ends of this process.

One SQLite file per sink. What cannot be put there, on a full or failing disk, is held in memory and put there when that
works again; whatever happens to the disk, nothing is raised while running and nothing waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import math
import os
import re
import sqlite3
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from edgehar.errors import SinkError
from edgehar.sinks.spool.options import SpoolOptions, state_directory
from edgehar.sinks.spool.store import Row, SpoolFile, is_damage, is_full, move_aside

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

# Events held in memory while the disk takes none; the oldest of them go first.
HELD_MAX = 1000
# How often dropped events are spoken of.
_REPORT_EVERY_S = 60.0
# So many of the oldest events, and one in a hundred, go at a time when the disk is full.
_FULL_DROPS = 10


@dataclass(frozen=True, slots=True)
class Spooled:
    """One undelivered event.

    Attributes:
        sequence: its place in the queue; later events have higher ones.
        id: what tells it from others when it is delivered twice.
        payload: what is to be delivered.
        age_s: seconds since it was put in.
    """

    sequence: int
    id: str
    payload: bytes
    age_s: float


def _steady_clock() -> Callable[[], float]:
    """A clock that starts with the wall clock's time and is not set: the age of an event is what passed since."""
    start_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return lambda: start_s + time.clock_gettime(time.CLOCK_BOOTTIME)


class Spool:
    """A bounded queue of events on disk, for one sink. All methods may be called from any thread.

    Attributes:
        name: what it is called in logs, and its file.
        dropped: events thrown away undelivered since it was opened: beyond a bound, too old, or lost to the disk.
    """

    def __init__(
        self, name: str, path: Path | None, options: SpoolOptions, *, clock: Callable[[], float] | None = None
    ) -> None:
        """Take what is in the file; use `Spool.open` or `Spool.in_memory`.

        Args:
            name: what it is called in logs.
            path: the file, which the caller has locked; None to hold up to `HELD_MAX` events in memory only.
            options: its bounds.
            clock: the time in seconds, for tests.
        """
        self.name, self.dropped = name, 0
        self._path, self._options = path, options
        self._max_bytes, self._max_age_s = int(options.max_mb * 1e6), options.max_age_h * 3600
        self._clock = clock or _steady_clock()
        self._changing = threading.RLock()
        # All below is guarded by `_changing`. What is held is newer than all that is on disk.
        self._file: SpoolFile | None = None
        self._held: deque[Row] = deque()
        self._acknowledged: set[int] = set()  # but still in the file
        self._ahead_s = 0.0
        self._trouble: str | None = None
        self._reported_s, self._reported = -math.inf, 0
        self._lock: int | None = None
        self._closed = False
        self._settle()
        # Numbers go on from those in the file, and from the time: the file may be one that can only be opened later.
        last = 0 if self._file is None else self._file.last
        self._last = max(last, int(self._now_s() * 1e6))

    @classmethod
    def open(cls, name: str, options: SpoolOptions, *, clock: Callable[[], float] | None = None) -> Self:
        """Open the queue `name`, making its folder (mode 0700) and file (0600) where they are not there.

        Raises:
            SinkError: the folder cannot be made or written, or another process uses the queue.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
            raise ValueError(f"{name!r} is no name for a file")
        folder = state_directory() if options.directory is None else Path(options.directory).expanduser()
        lock = _lock_file(folder, name)
        try:
            spool = cls(name, folder / f"{name}.spool", options, clock=clock)
        except BaseException:
            os.close(lock)
            raise
        spool._lock = lock
        return spool

    @classmethod
    def in_memory(cls, name: str, options: SpoolOptions | None = None) -> Self:
        """A queue that ends with the process, of `HELD_MAX` events at most."""
        return cls(name, None, options or SpoolOptions())

    @property
    def depth(self) -> int:
        """Events that wait."""
        with self._changing:
            on_disk = 0 if self._file is None else self._file.depth
            return on_disk - len(self._acknowledged) + len(self._held)

    def append(self, payload: bytes, id: str) -> int:  # noqa: A002 - the record's own word
        """Put in an event; when this returns, killing the process does not lose it.

        Beyond the bounds the oldest events go; one that alone is too large is not taken. Neither is on disk what a full
        or failing disk does not take: that is held in memory.

        Returns:
            The event's sequence number.
        """
        with self._changing:
            self._last += 1
            row = Row(self._last, id, self._now_s(), payload)
            if row.size > self._max_bytes:
                self._count_dropped(1, f"one of {len(payload)} bytes is over max_mb")
            else:
                self._held.append(row)
                self._settle()
            return row.sequence

    def peek(self, after_sequence: int = 0, limit: int = 100) -> list[Spooled]:
        """The oldest events after `after_sequence`, in order, `limit` at most; they stay in until removed."""
        with self._changing:
            self._settle()
            now_s = self._now_s()
            rows = itertools.chain(self._rows_on_disk(after_sequence, limit), self._held)
            waiting = (row for row in rows if row.sequence > after_sequence)
            return [
                Spooled(row.sequence, row.id, row.payload, max(0.0, now_s - row.time_s))
                for row in itertools.islice(waiting, limit)
            ]

    def remove(self, sequence: int) -> None:
        """Take out a delivered event, in any order; one that is not there is left at that."""
        with self._changing:
            self._check_open()
            if self._held and sequence >= self._held[0].sequence:
                self._held = deque(row for row in self._held if row.sequence != sequence)
            elif self._file is not None:
                self._acknowledged.add(sequence)
                self._settle()

    def close(self) -> None:
        """Close the file and let others use it. What is still held in memory is lost, and said."""
        with self._changing:
            if self._closed:
                return
            self._settle()
            self._reported_s = -math.inf
            self._count_dropped(0, "all in all")
            self._closed = True
            if self._file is not None:
                self._file.close()
            # Of a queue that was only ever in memory its sink speaks.
            if self._held and self._path is not None:
                _log.warning("spool %s: %d events are lost: they are only in memory", self.name, len(self._held))
            if self._lock is not None:
                os.close(self._lock)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"spool {self.name} is closed")

    def _now_s(self) -> float:
        return self._clock() + self._ahead_s

    def _rows_on_disk(self, after_sequence: int, limit: int) -> list[Row]:
        if self._file is None:
            return []
        try:
            return self._file.rows(after_sequence, limit, without=self._acknowledged)
        except sqlite3.Error as error:
            self._note_trouble(error)
        return []

    def _settle(self) -> None:
        """Bring what is held to the disk, and what is beyond the bounds to an end."""
        self._check_open()
        if self._path is not None:
            # When the disk is full: first use what is kept free for that, then the room of the oldest events.
            for attempt in range(3):
                try:
                    self._store(self._path, make_room=attempt > 0, drop=attempt > 1)
                    break
                except sqlite3.Error as error:
                    again = is_full(error) and attempt < 2
                    if not again:
                        self._note_trouble(error)
                    if not (again or is_damage(error)):
                        break
        horizon_s, most = self._now_s() - self._max_age_s, min(HELD_MAX, self._options.max_events)
        while self._held and (len(self._held) > most or self._held[0].time_s < horizon_s):
            self._held.popleft()
            self._count_dropped(1, "memory is for the newest only")

    def _store(self, path: Path, *, make_room: bool, drop: bool) -> None:
        if self._file is None:
            self._file = SpoolFile(path, full_sync=self._options.sync == "full")
            # Were the clock set back while we were away, what is in the file would come from the future.
            self._ahead_s = max(self._ahead_s, self._file.newest_s - self._clock())
        if make_room:
            self._file.make_room()
        surplus = self._surplus(self.depth // 100 + _FULL_DROPS if drop and self._held else 0)
        if not (self._held or self._acknowledged or surplus):
            return
        kept = [row for row in self._held if row.sequence not in surplus]
        self._file.change(insert=kept, delete=self._acknowledged | surplus)
        self._held.clear()
        self._acknowledged.clear()
        self._count_dropped(len(surplus), "the disk is full" if drop else "max_events, max_mb or max_age_h is reached")
        if self._trouble is not None:
            self._trouble = None
            _log.info("spool %s: the disk takes events again", self.name)

    def _surplus(self, at_least: int) -> set[int]:
        """The events that must go, oldest first: those beyond the bounds, and `at_least` so many."""
        assert self._file is not None
        held = ((row.sequence, row.time_s, row.size) for row in self._held)
        depth, size = self.depth, self._file.size + sum(row.size for row in self._held)
        horizon_s = self._now_s() - self._max_age_s
        surplus: set[int] = set()
        for sequence, time_s, row_size in itertools.chain(self._file.oldest(), held):
            if (
                depth <= self._options.max_events
                and size <= self._max_bytes
                and time_s >= horizon_s
                and len(surplus) >= at_least
            ):
                break
            size -= row_size
            if sequence not in self._acknowledged:
                surplus.add(sequence)
                depth -= 1
        return surplus

    def _note_trouble(self, error: sqlite3.Error) -> None:
        """Say what is wrong with the disk, once, and put a damaged file aside."""
        if is_damage(error) and self._path is not None:
            lost = self.depth - len(self._held)
            if self._file is not None:
                self._file.close()
            self._file = None
            self._acknowledged.clear()
            aside = move_aside(self._path)
            _log.error(
                "spool %s: the file is damaged (%s); it is now %s, and a new one begins", self.name, error, aside
            )
            self._count_dropped(lost, "the file is damaged")
        elif self._trouble is None:
            self._trouble = str(error)
            _log.warning(
                "spool %s: %s: %s; the newest %d events are held in memory until the disk takes them",
                self.name, self._path, error, HELD_MAX,
            )  # fmt: skip

    def _count_dropped(self, count: int, why: str) -> None:
        self.dropped += count
        now_s = time.monotonic()
        if self.dropped > self._reported and now_s - self._reported_s >= _REPORT_EVERY_S:
            _log.warning("spool %s: %d events dropped undelivered so far: %s", self.name, self.dropped, why)
            self._reported_s, self._reported = now_s, self.dropped


def _lock_file(folder: Path, name: str) -> int:
    """The descriptor of the locked `NAME.lock`, which is never removed."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SinkError(
            f"{folder}: cannot keep undelivered events there: {error.strerror}; make it a folder that this user can "
            "write, or set directory under [spool]"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(lock, 20).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise SinkError(
            f"{folder}/{name}.spool is used by another edgehar (process {owner}); end that one, or give each its own "
            "directory under [spool]"
        ) from error
    with contextlib.suppress(OSError):  # a full disk; it is only for the message above
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock
