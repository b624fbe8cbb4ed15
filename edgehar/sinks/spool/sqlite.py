"""Spools of earlier versions, which were SQLite databases: their events are taken over once."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)
_SIGNATURE = b"SQLite format 3\0"


def rows_of_sqlite(path: Path) -> list[tuple[bytes, str]]:
    """Return payload and id of the events in a database at `path`, and move the database out of the way.

    The database is kept as `NAME.sqlite`. Returns an empty list if `path` is not a database. Raises OSError.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                return []
    except FileNotFoundError:
        return []
    import sqlite3

    rows: list[tuple[bytes, str]] = []
    with contextlib.closing(sqlite3.connect(path)) as database:
        try:
            for payload, row_id in database.execute("SELECT payload, id FROM events ORDER BY sequence"):
                if isinstance(payload, bytes) and isinstance(row_id, str):
                    rows.append((payload, row_id))
        except sqlite3.Error as error:
            _log.error("%s: events of an earlier version are damaged: %s; %d were read", path, error, len(rows))
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(path.with_name(f"{path.stem}.sqlite{suffix}"))
    path.with_suffix(".reserve").unlink(missing_ok=True)
    _log.info("%s: took over %d events of an earlier version", path, len(rows))
    return rows
