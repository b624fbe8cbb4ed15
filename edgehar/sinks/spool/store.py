"""The file of a spool: an SQLite database of one table, and what can be wrong with it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_TABLE = """
CREATE TABLE IF NOT EXISTS events (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL, time_s REAL NOT NULL,
                                   payload BLOB NOT NULL)"""
# The version of that table; files of another are put aside.
_VERSION = 1
# What a row takes on disk beside its payload and id.
_ROW_BYTES = 32
# Pages the log may grow to before it is brought into the database; and what is kept free for that, with a good margin.
_LOG_PAGES, _RESERVE_BYTES = 256, 2_000_000
# Pages left empty by a long outage that are worth giving back.
_PAGES_SPARE = 256
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_FORMAT}


@dataclass(frozen=True, slots=True)
class Row:
    """One event in the file: its number, id, time (seconds) and payload."""

    sequence: int
    id: str
    time_s: float
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes it counts for."""
        return len(self.payload) + len(self.id.encode()) + _ROW_BYTES


_SIZE = f"length(payload) + length(CAST(id AS BLOB)) + {_ROW_BYTES}"
_DELETE = f"DELETE FROM events WHERE sequence = ? RETURNING {_SIZE}"  # noqa: S608 - made of constants
_OLDEST = f"SELECT sequence, time_s, {_SIZE} FROM events ORDER BY sequence"  # noqa: S608
_TOTALS = (
    f"SELECT count(*), coalesce(sum({_SIZE}), 0), coalesce(max(sequence), 0), coalesce(max(time_s), 0.0) "  # noqa: S608
    "FROM events"
)


class SpoolFile:
    """The open database. Nothing else may have it open. All methods may raise sqlite3.Error.

    Attributes:
        depth: rows in it.
        size: bytes they count for.
        last: the highest number in it, 0 when empty.
        newest_s: the latest time in it, 0 when empty.
    """

    def __init__(self, path: Path, *, full_sync: bool) -> None:
        """Open it, or make it with mode 0600.

        Raises:
            sqlite3.Error: it is damaged (`is_damage`), or the disk does not work.
        """
        # SQLite gives its other files the mode of this one, and would follow a link.
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from error
        self._reserve = path.with_suffix(".reserve")
        self._db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self._set_up(full_sync=full_sync)
        except sqlite3.Error:
            self._db.close()
            raise

    def _set_up(self, *, full_sync: bool) -> None:
        # Exclusive first: the log then needs no shared memory, and no file for it.
        self._value("locking_mode = EXCLUSIVE")
        self._value("journal_mode = WAL")
        self._value(f"wal_autocheckpoint = {_LOG_PAGES}")
        self._value(f"synchronous = {'FULL' if full_sync else 'NORMAL'}")
        version = self._value("user_version")
        if version == 0:
            self._db.execute(_TABLE)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise _damage(f"version {version} is not understood")
        found = self._value("quick_check(1)")
        if found != "ok":
            raise _damage(str(found))
        self.depth, self.size, self.last, self.newest_s = self._db.execute(_TOTALS).fetchone()
        if not self.depth and self._value("freelist_count") > _PAGES_SPARE:
            self._db.execute("VACUUM")
        self._take_reserve()

    def _value(self, pragma: str) -> Any:
        row = self._db.execute(f"PRAGMA {pragma}").fetchone()
        return None if row is None else row[0]

    def rows(self, after_sequence: int, limit: int, *, without: Collection[int] = ()) -> list[Row]:
        """The first rows after a number, `limit` at most, leaving some out."""
        found = self._db.execute(
            "SELECT sequence, id, time_s, payload FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (after_sequence, limit + len(without)),
        )
        return [Row(*row) for row in found if row[0] not in without][:limit]

    def oldest(self) -> Iterator[tuple[int, float, int]]:
        """Number, time and size of each row, the oldest first."""
        yield from self._db.execute(_OLDEST)

    def change(self, *, insert: Collection[Row], delete: Collection[int]) -> None:
        """Delete the rows with these numbers, and add some: both or neither."""
        depth, size = self.depth, self.size
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for sequence in delete:
                for (freed,) in self._db.execute(_DELETE, [sequence]):
                    depth, size = depth - 1, size - freed
            for row in insert:
                self._db.execute(
                    "INSERT INTO events VALUES (?, ?, ?, ?)", (row.sequence, row.id, row.time_s, row.payload)
                )
                depth, size = depth + 1, size + row.size
            self._db.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself when the disk is full.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self.depth, self.size = depth, size

    def make_room(self) -> None:
        """On a full disk, use up the reserve, and then no more than there is: `change` raises before the file grows.

        That way deleting rows makes room for others, on a disk that is full to the last byte.
        """
        try:
            self._reserve.unlink(missing_ok=True)
            disk = os.statvfs(self._reserve.parent)
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from error
        self._value("wal_checkpoint(RESTART)")
        spare = disk.f_bavail * disk.f_frsize - _LOG_PAGES * self._value("page_size")
        most = self._value("page_count") + max(0, spare) // self._value("page_size")
        self._value(f"max_page_count = {most}")

    def _take_reserve(self) -> None:
        """Keep room on the disk, so that the log can be brought into the database when there is no other left."""
        try:
            reserve = os.open(self._reserve, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError:
            return
        try:
            os.posix_fallocate(reserve, 0, _RESERVE_BYTES)
        except OSError:
            self._reserve.unlink(missing_ok=True)
        finally:
            os.close(reserve)

    def close(self) -> None:
        """Close it, whatever its state."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is the trouble: it is not, or no longer, a database."""
    return _code(error) in _DAMAGE


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk is full."""
    return _code(error) == sqlite3.SQLITE_FULL


def _code(error: sqlite3.Error) -> int:
    # The lower byte is the primary code. There is none where the sqlite3 module itself refuses.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _damage(what: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def move_aside(path: Path) -> Path:
    """Rename a damaged database and its log to `NAME.damaged`, in place of an earlier one; returns that path."""
    aside = path.with_name(f"{path.stem}.damaged")
    for suffix in ("", "-wal"):
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
    return aside
