"""Messages that a broker does not take: above its limits, refused, or answered by closing the connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgehar.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from edgehar.sinks.mqtt.connection import Tag

# A message is blamed for the end of a connection when it was the only one not acknowledged, this many times.
_BLAMED_AFTER = 3
# So soon after a message must the connection end for it to be blamed, in seconds.
_BLAMED_WITHIN_S = 5.0
# A smaller message is not blamed for its size, but for its topic, which the broker may not allow.
_LEAST_LIMIT_BYTES = 2048
# How often an event is sent that the broker refuses. Reasons that may pass get more tries.
_TRIES, _TRIES_WHILE_BUSY = 5, 20
_BUSY = {"Quota exceeded", "Implementation specific error", "Unspecified error"}


class PacketLimit:
    """Learns which messages a broker does not take, from what it says and from how connections end.

    MQTT 5 brokers say how large a packet may be. Others just close the connection, and so a message is a suspect when
    it was not acknowledged before a connection ended. Suspects are sent one at a time, which shows which one it is.

    Attributes:
        bytes: largest packet that the broker takes; None if it is not known.
    """

    def __init__(self) -> None:
        """Start without a limit."""
        self.bytes: int | None = None
        # By tag, how often a connection ended while only this message was not acknowledged.
        self._suspects: dict[Tag, int] = {}
        self._largest_taken = 0

    def told(self, most: int | None) -> None:
        """Note the limit that the broker has given for this connection (MQTT 5)."""
        if most is not None:
            self.bytes = most

    def suspects(self, tag: Tag) -> bool:
        """Whether a message must be sent alone."""
        return tag in self._suspects

    def taken(self, tag: Tag, size: int) -> None:
        """Note that the broker has acknowledged a message, whose packet has `size` bytes."""
        self._suspects.pop(tag, None)
        self._largest_taken = max(self._largest_taken, size)

    def connection_lost(
        self, unacknowledged: Collection[Tag], since_s: float, size_of: Callable[[Tag], int], *, others_taken: bool
    ) -> Tag | None:
        """Note the end of a connection, and return the message that is to blame, if it is known.

        Args:
            unacknowledged: the messages that the broker had not acknowledged.
            since_s: seconds since the last of them was sent.
            size_of: returns the bytes of a message's packet.
            others_taken: whether the broker had acknowledged others on this connection.
        """
        if len(unacknowledged) == 1 and others_taken and since_s < _BLAMED_WITHIN_S:
            (tag,) = unacknowledged
            self._suspects[tag] = self._suspects.get(tag, 0) + 1
            if self._suspects[tag] >= _BLAMED_AFTER:
                self.blame(tag, size_of(tag))
                return tag
        for tag in unacknowledged:
            self._suspects.setdefault(tag, 0)
        return None

    def blame(self, tag: Tag, size: int) -> None:
        """Learn from a message for which the broker has closed the connection."""
        self._suspects.pop(tag, None)
        if size > max(self._largest_taken, _LEAST_LIMIT_BYTES):
            self.bytes = size - 1 if self.bytes is None else min(self.bytes, size - 1)


class Refusals:
    """Events that the broker refuses: each is sent some times more, with growing delays, while others go on."""

    def __init__(self, first_delay_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with none.

        Args:
            first_delay_s: bound of the first delay, in seconds; it doubles up to a minute.
            clock: monotonic seconds.
        """
        self._first_delay_s, self._clock = first_delay_s, clock
        self._tries: dict[int, tuple[int, Backoff]] = {}
        self._due_s: dict[int, float] = {}

    def add(self, sequence: int, reason: str) -> bool:
        """Note a refusal. Returns False if the event has been refused often enough."""
        count, backoff = self._tries.pop(sequence, (0, Backoff(self._first_delay_s, 60.0)))
        self._due_s.pop(sequence, None)
        if count + 1 >= (_TRIES_WHILE_BUSY if reason in _BUSY else _TRIES):
            return False
        self._tries[sequence] = (count + 1, backoff)
        self._due_s[sequence] = self._clock() + backoff.next_delay_s()
        return True

    def taken(self, sequence: int) -> None:
        """Note that an event is delivered."""
        self._tries.pop(sequence, None)
        self._due_s.pop(sequence, None)

    def pop_due(self) -> list[int]:
        """Return the events to be sent now, in order."""
        now_s = self._clock()
        due = sorted(sequence for sequence, due_s in self._due_s.items() if due_s <= now_s)
        for sequence in due:
            del self._due_s[sequence]
        return due

    def retry_all(self) -> None:
        """Forget delays: on a new connection all are sent again, in order with the others."""
        self._due_s.clear()

    def wait_s(self) -> float | None:
        """Return the seconds until the next event is due; None if there is none."""
        return min((due_s - self._clock() for due_s in self._due_s.values()), default=None)
