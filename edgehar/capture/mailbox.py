"""Pass items from one thread to another through a bounded queue."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Closed(Exception):  # noqa: N818 - the end of a stream, not an error
    """The mailbox is closed and, for the reader, empty."""


class Mailbox(Generic[T]):
    """A bounded queue that can be closed, and that can drop its oldest item for a new one.

    Attributes:
        dropped: items dropped so far.
        on_change: called without arguments, holding no lock, after an item is put or the mailbox is closed. One thread
            can so wait for several mailboxes.
    """

    def __init__(self, capacity: int, *, drop_oldest: bool = False) -> None:
        """Make a mailbox.

        Args:
            capacity: maximum number of items.
            drop_oldest: when full, drop the oldest item instead of blocking the writer.
        """
        self.dropped = 0
        self.on_change: Callable[[], object] = lambda: None
        self._capacity, self._drop_oldest = capacity, drop_oldest
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def drop_when_full(self) -> None:
        """From now on drop the oldest item when full, instead of blocking the writer."""
        self._drop_oldest = True

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, timeout_s: float | None = None) -> bool:
        """Add an item, waiting for room.

        Returns:
            False if there was no room within `timeout_s`.

        Raises:
            Closed: the mailbox is closed.
        """
        with self._changed:
            if self._drop_oldest and len(self._items) == self._capacity and not self._closed:
                self._items.popleft()
                self.dropped += 1
            if not self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity, timeout_s):
                return False
            self._append(item)
        self.on_change()
        return True

    def get(self, timeout_s: float | None = None) -> T:
        """Remove and return the oldest item, waiting for one.

        Raises:
            TimeoutError: there was none within `timeout_s`.
            Closed: the mailbox is closed and empty.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._items, timeout_s):
                raise TimeoutError
            if not self._items:
                raise Closed
            self._changed.notify_all()
            return self._items.popleft()

    def close(self, *, discard: bool = False) -> None:
        """Accept no more items. Items inside can still be read, unless they are discarded."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._changed.notify_all()
        self.on_change()

    def _append(self, item: T) -> None:
        """Add an item, holding the lock."""
        if self._closed:
            raise Closed
        self._items.append(item)
        self._changed.notify_all()
