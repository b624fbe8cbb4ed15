"""Hands items from one thread to another: the newest only, or every one."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Closed(Exception):  # noqa: N818 - the end of a stream, no error
    """The mailbox is closed and, for the reader, empty."""


class Mailbox(Generic[T]):
    """A bounded queue that can be closed, and that may throw away its oldest item for a new one.

    Attributes:
        dropped: items thrown away so far.
        on_change: called, without arguments and under no lock, after an item was put in and after the mailbox was
            closed: how one thread waits for several mailboxes.
    """

    def __init__(self, capacity: int, *, drop_oldest: bool) -> None:
        """Make a mailbox.

        Args:
            capacity: items it holds at most; 1 with `drop_oldest` keeps only the newest.
            drop_oldest: when full, throw away the oldest item instead of keeping the writer waiting.
        """
        self.dropped = 0
        self.on_change: Callable[[], object] = lambda: None
        self._capacity, self._drop_oldest = capacity, drop_oldest
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def keep_newest(self) -> None:
        """From now on hold the newest item only, and keep no writer waiting."""
        with self._changed:
            self._capacity, self._drop_oldest = 1, True
            while len(self._items) > 1:
                self._items.popleft()
                self.dropped += 1
            self._changed.notify_all()

    def drop_when_full(self) -> None:
        """From now on throw away the oldest item when full, instead of keeping the writer waiting."""
        self._drop_oldest = True

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, timeout_s: float | None = None) -> bool:
        """Add an item, after waiting for room; False when there was none within `timeout_s`. Closed when closed."""
        with self._changed:
            if self._drop_oldest and len(self._items) == self._capacity and not self._closed:
                self._items.popleft()
                self.dropped += 1
            if not self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity, timeout_s):
                return False
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()
        self.on_change()
        return True

    def get(self, timeout_s: float | None = None) -> T:
        """Take the oldest item, after waiting for one. TimeoutError after `timeout_s`; Closed when closed and empty."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._items, timeout_s):
                raise TimeoutError
            if not self._items:
                raise Closed
            self._changed.notify_all()
            return self._items.popleft()

    def close(self, *, discard: bool = False) -> None:
        """Take no more items. Those inside can still be read, unless they are to be discarded."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._changed.notify_all()
        self.on_change()
