"""Removes the oldest recordings: beyond their age, beyond the size of the folder, and when the disk is nearly full."""

from __future__ import annotations

import datetime
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.recording.chain import Line
    from edgehar.recording.options import RecordOptions
    from edgehar.recording.store import Store

_log = logging.getLogger(__name__)


def prune(store: Store, options: RecordOptions, now: datetime.datetime | None = None) -> int:
    """Remove recordings until all bounds hold, oldest first; return how many. OSError if the disk fails."""
    count = 0
    for line, why in _surplus(store, options, now or datetime.datetime.now(datetime.UTC)):
        store.remove(line, why)
        count += 1
    if count:
        _log.info("%s: %d recordings removed to keep within max_age_days, max_gb and min_free_mb", store.folder, count)
    return count


def size_of(store: Store, line: Line) -> int:
    """Return the bytes of a recording's files."""
    size = 0
    for suffix in line.files:
        path = store.folder / (line.path + suffix)
        size += path.stat().st_size if path.exists() else 0
    return size


def _surplus(store: Store, options: RecordOptions, now: datetime.datetime) -> Iterator[tuple[Line, str]]:
    lines = list(store.chain.recordings().values())
    sizes = [size_of(store, line) for line in lines]
    total = sum(sizes)
    for line, size in zip(lines, sizes, strict=True):
        why = None
        if now - datetime.datetime.fromisoformat(line.time) > datetime.timedelta(days=options.max_age_days):
            why = "max_age_days"
        elif total > options.max_gb * 1e9:
            why = "max_gb"
        elif store.free_bytes() < options.min_free_mb * 1e6:
            why = "min_free_mb"
        if why is None:
            return
        total -= size
        yield line, why
