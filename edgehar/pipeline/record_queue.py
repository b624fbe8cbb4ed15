"""The queue of records between the thread that classifies and a sink."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edgehar.capture.mailbox import Mailbox
from edgehar.records import Event, Record

if TYPE_CHECKING:
    from collections.abc import Iterable

# Events that may wait beyond the capacity, as a multiple of it: hours of events, and some MB.
_MOST_EVENTS = 16


class RecordQueue(Mailbox[Record]):
    """Records in order. A full queue that drops drops what matters least.

    That is the oldest prediction or status. Events stay, beyond the capacity too. If a sink is stuck for so long that
    there are far too many of them, the oldest update of an event goes, and if there is none, the oldest event.
    """

    def __init__(self, capacity: int, *, most_events: int | None = None) -> None:
        """Make a queue for files, whose writer waits for room; `drop_when_full` changes it for live sources.

        Args:
            capacity: records that may wait.
            most_events: records that may wait if most are events; None for a multiple of the capacity.
        """
        super().__init__(capacity)
        self._most_events = _MOST_EVENTS * capacity if most_events is None else most_events
        self._dropped_kinds: Counter[str] = Counter()

    @property
    def dropped_events(self) -> int:
        """Records of events among the dropped ones."""
        return self._dropped_kinds["event"] + self._dropped_kinds["update"]

    def put(self, item: Record, timeout_s: float | None = None) -> bool:
        """Add a record; the arguments, result and errors are those of `Mailbox.put`."""
        if not self._drop_oldest:
            return super().put(item, timeout_s)
        with self._changed:
            self._append(item)
            if len(self._items) > self._capacity:
                self._drop_least()
        self.on_change()
        return True

    def put_all(self, records: Iterable[Record]) -> None:
        """Add records, of which a full queue drops some."""
        for record in records:
            self.put(record)

    def take_all(self) -> list[Record]:
        """Remove and return all records."""
        with self._changed:
            records = list(self._items)
            self._items.clear()
            self._changed.notify_all()
        return records

    def _drop_least(self) -> None:
        found = self._oldest("record")
        if found is None and len(self._items) > self._most_events:
            found = self._oldest("update")
            found = 0 if found is None else found
        if found is not None:
            self._dropped_kinds[_kind(self._items[found])] += 1
            del self._items[found]
            self.dropped += 1

    def _oldest(self, kind: str) -> int | None:
        return next((place for place, record in enumerate(self._items) if _kind(record) == kind), None)


def _kind(record: Record) -> str:
    """Return "event", "update" for a record that is followed by others of its event, or "record"."""
    if not isinstance(record, Event):
        return "record"
    return "update" if record.phase == "update" else "event"
