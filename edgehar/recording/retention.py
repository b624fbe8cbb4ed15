"""Removes the oldest recordings: beyond their age, beyond the size of the folder, and when the disk is nearly full."""

from __future__ import annotations

import datetime
import logging
from typing import TYPE_CHECKING

from edgehar.printable import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.recording.chain import Line
    from edgehar.recording.options import RecordOptions
    from edgehar.recording.store import Archive

_log = logging.getLogger(__name__)

# No clock that is set is earlier: devices without a battery clock start in 1970, or when their image was made.
_EARLIEST = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)


def prune(archive: Archive, options: RecordOptions, now: datetime.datetime | None = None) -> int:
    """Remove recordings until all bounds hold, oldest first; return how many. OSError if the disk fails."""
    count = 0
    for line, why in surplus(archive, options, now or datetime.datetime.now(datetime.UTC)):
        archive.remove(line, why)
        count += 1
    if count:
        removed = counted(count, "recording")
        _log.info("%s: %s removed to keep within max_age_days, max_gb and min_free_mb", archive.folder, removed)
    return count


def surplus(archive: Archive, options: RecordOptions, now: datetime.datetime) -> Iterator[tuple[Line, str]]:
    """Give the recordings beyond the bounds, oldest first, and the bound that each is beyond.

    The caller removes each one before it asks for the next.
    """
    lines = list(archive.chain.recordings().values())
    sizes = [archive.size_of(line) for line in lines]
    total = sum(sizes)
    times = _times(archive, lines)
    for line, size in zip(lines, sizes, strict=True):
        why = None
        if now - times.get(line.path, now) > datetime.timedelta(days=options.max_age_days):
            why = "max_age_days"
        elif total > options.max_gb * 1e9:
            why = "max_gb"
        elif archive.free_bytes() < options.min_free_mb * 1e6:
            why = "min_free_mb"
        if why is None:
            return
        total -= size
        yield line, why


def _times(archive: Archive, lines: list[Line]) -> dict[str, datetime.datetime]:
    """Return when each recording was made, by its path.

    Where the clock was not set yet, that is the time of the first line of the ledger after it was; none before that.
    """
    times = {line.path: datetime.datetime.fromisoformat(line.time) for line in lines}
    unset = {path for path, time in times.items() if time < _EARLIEST}
    if not unset:
        return times
    waiting: list[str] = []
    for path in unset:
        del times[path]
    for _, line, _ in archive.chain.lines():
        if line is None:
            continue
        time = datetime.datetime.fromisoformat(line.time)
        if line.kind == "clip" and line.path in unset:
            waiting.append(line.path)
        elif time >= _EARLIEST:
            times |= dict.fromkeys(waiting, time)
            waiting.clear()
    return times
