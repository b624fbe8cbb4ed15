"""Messages that wait for an MQTT broker, in the order of sending, and messages that the broker does not take."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from edgehar.sinks.mqtt.connection import packet_bytes
from edgehar.sinks.mqtt.limits import PacketLimit, Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edgehar.sinks.mqtt.connection import MqttConnection, Tag
    from edgehar.sinks.mqtt.options import Broker
    from edgehar.sinks.spool.queue import Spool, SpooledEvent

_log = logging.getLogger(__name__)

# Messages of QoS 0 that may wait for the thread; the oldest are dropped first.
_PASSING_MAX = 16
# Interval of log lines about events that were set aside, in seconds.
_SET_ASIDE_EVERY_S = 60.0


class MqttOutbox:
    """Retained topics, events and passing messages that wait for the broker.

    `hold`, `pass_on` and `events_wait` may be called from any thread, everything else from the session's thread only.
    """

    def __init__(
        self,
        broker: Broker,
        spool: Spool,
        *,
        event_topic: Callable[[bytes], str],
        retained: Mapping[str, bytes],
        retry_first_s: float,
        warn: Callable[[str], None],
    ) -> None:
        """Start with all retained topics to be published.

        Args:
            broker: names the topic `availability`, and the broker in logs.
            spool: where events wait; they are removed when the broker acknowledges them.
            event_topic: returns the topic of an event's payload.
            retained: topics and payloads to publish on every connection, in this order.
            retry_first_s: bound of the first delay before a refused event is sent again, in seconds.
            warn: logs a problem, if it is new.
        """
        self._broker, self._spool, self._event_topic, self._warn = broker, spool, event_topic, warn
        self._lock = threading.Lock()
        # Guarded by the lock: the payload of every retained topic, and the topics to be published.
        self._retained = {broker.topic("availability"): b"online", **retained}
        self._stale: dict[str, None] = {}
        self._passing: deque[tuple[str, bytes]] = deque(maxlen=_PASSING_MAX)
        self._events_wait = False
        # The last event taken from the spool on this connection, those not sent yet, and the sizes of packets.
        self._sent = 0
        self._next: deque[SpooledEvent] = deque()
        self._sizes: dict[Tag, int] = {}
        # What the broker does not take: topics that it closes the connection for, with the size, and what was refused.
        self._limit, self._refusals = PacketLimit(), Refusals(retry_first_s)
        self._left_out: dict[str, int] = {}
        self._set_aside_s, self._set_aside = -_SET_ASIDE_EVERY_S, 0

    def hold(self, topic: str, payload: bytes, *, now: bool = True) -> None:
        """Set the payload of a retained topic, for now (unless not `now`) and for every later connection."""
        with self._lock:
            self._retained[topic] = payload
            if now:
                self._stale[topic] = None

    def pass_on(self, topic: str, payload: bytes) -> None:
        """Add a message of QoS 0, which is dropped if the broker does not keep up."""
        self._passing.append((topic, payload))

    def events_wait(self) -> None:
        """Note that the spool holds a new event."""
        self._events_wait = True

    @property
    def waiting(self) -> bool:
        """Whether a retained topic or an event has not been sent on this connection."""
        return bool(self._stale or self._next or self._events_wait)

    def wait_s(self) -> float | None:
        """Return the seconds until a refused event is sent again; None if there is none."""
        return self._refusals.wait_s()

    def start(self, connection: MqttConnection) -> None:
        """Send everything again on a new connection: all retained topics, and the events from the oldest on."""
        self._limit.told(connection.max_packet_bytes)
        self._refusals.retry_all()
        self._sizes.clear()
        self._next.clear()
        self.announce()
        self._sent, self._events_wait = 0, True

    def announce(self) -> None:
        """Publish all retained topics again."""
        with self._lock:
            self._stale = dict.fromkeys(self._retained)

    def publish(self, connection: MqttConnection) -> None:
        """Send as much as the broker takes now: retained topics first, one message of each at a time."""
        for topic, payload in self._retained_to_send(connection):
            self._send(connection, topic, payload, topic, retain=True)
        while self._may_send(connection) and (event := self._next_event(connection)) is not None:
            self._send(connection, self._event_topic(event.payload), event.payload, event.sequence)
        while self._passing:
            topic, payload = self._passing.popleft()
            if self._fits(topic, payload):
                connection.publish_unless_busy(topic, payload)

    def _may_send(self, connection: MqttConnection) -> bool:
        """Whether the broker takes one more message, and none is on its way that must be alone."""
        return connection.room > 0 and not any(map(self._limit.suspects, connection.unacknowledged))

    def _retained_to_send(self, connection: MqttConnection) -> Iterable[tuple[str, bytes]]:
        """Yield topics and payloads while there is room. Topics that may end the connection come last."""
        with self._lock:
            stale = sorted(self._stale, key=self._limit.suspects)
        for topic in stale:
            if not self._may_send(connection):
                return
            if connection.holds(topic) or (self._limit.suspects(topic) and connection.unacknowledged):
                continue
            with self._lock:
                self._stale.pop(topic, None)
                payload = self._retained[topic]
            if self._fits(topic, payload):
                yield topic, payload

    def _next_event(self, connection: MqttConnection) -> SpooledEvent | None:
        """Return the next event to send now, if any; events that the broker does not take are set aside."""
        for sequence in self._refusals.pop_due():
            self._next.extend(event for event in self._spool.peek(sequence - 1, 1) if event.sequence == sequence)
        while self._next or self._events_wait:
            if not self._next:
                self._events_wait = False
                self._next.extend(self._spool.peek(self._sent, connection.room))
                if not self._next:
                    return None
                self._events_wait, self._sent = True, self._next[-1].sequence
            if self._limit.suspects(self._next[0].sequence) and connection.unacknowledged:
                return None
            event = self._next.popleft()
            size = packet_bytes(self._event_topic(event.payload), event.payload)
            if self._limit.bytes is None or size <= self._limit.bytes:
                return event
            self._put_aside(event, f"{size} bytes, more than the {self._limit.bytes} that the broker takes")
        return None

    def _send(self, connection: MqttConnection, topic: str, payload: bytes, tag: Tag, *, retain: bool = False) -> None:
        self._sizes[tag] = packet_bytes(topic, payload)
        connection.publish(topic, payload, tag, retain=retain)

    def _fits(self, topic: str, payload: bytes) -> bool:
        """Whether the broker takes a message; if not, log it once for each topic."""
        size, most = packet_bytes(topic, payload), self._limit.bytes
        if topic in self._left_out and size >= self._left_out[topic]:
            return False
        if most is None or size <= most:
            return True
        self._left_out[topic] = most + 1
        _log.warning(
            "%s: %s is left out: %d bytes, more than the %d that the broker takes; raise the broker's limit",
            self._broker.where, topic, size, most,
        )  # fmt: skip
        return False

    def _put_aside(self, event: SpooledEvent, reason: str) -> None:
        """Move an event that the broker does not take to the file of refused events."""
        self._spool.set_aside(event, reason)
        self._set_aside += 1
        now_s = time.monotonic()
        if now_s - self._set_aside_s >= _SET_ASIDE_EVERY_S:
            self._set_aside_s = now_s
            _log.warning(
                "%s: an event is set aside in the spool's refused file, %d so far: %s: %s",
                self._broker.where, self._set_aside, self._event_topic(event.payload), reason,
            )  # fmt: skip

    def acknowledged(self, tag: Tag) -> None:
        """Note that the broker has taken a message."""
        self._limit.taken(tag, self._sizes.pop(tag, 0))
        if isinstance(tag, int):
            self._refusals.taken(tag)
            self._spool.remove(tag)

    def refused(self, tag: Tag, reason: str) -> None:
        """Note that the broker refuses a message: an event is sent again later, or set aside."""
        size = self._sizes.pop(tag, 0)
        if reason == "Packet too large":
            self._limit.blame(tag, size)
        self._limit.taken(tag, 0)
        if isinstance(tag, str):
            self._warn(f"refuses {tag}: {reason}")
        elif reason != "Packet too large" and self._refusals.add(tag, reason):
            self._warn(f"refuses an event: {reason}; sending it again later, after others")
        else:
            self._drop(tag, f"refused: {reason}")

    def connection_lost(self, connection: MqttConnection) -> None:
        """Find out whether a message is to blame for the end of a connection, and leave that one out from now on."""
        unacknowledged = connection.unacknowledged

        def size_of(tag: Tag) -> int:
            return self._sizes.get(tag, 0)

        if connection.told_too_large:
            blamed: Tag | None = max(unacknowledged, key=size_of)
            assert blamed is not None
            self._limit.blame(blamed, size_of(blamed))
        else:
            blamed = self._limit.connection_lost(
                unacknowledged, connection.seconds_since_sent(), size_of, others_taken=connection.acknowledged > 0
            )
        if blamed is not None:
            self._drop(blamed, f"the broker closes the connection when these {size_of(blamed)} bytes are sent")

    def _drop(self, tag: Tag, reason: str) -> None:
        """Give up a message: an event is set aside, a topic is left out until its payload is smaller."""
        if isinstance(tag, int):
            for event in self._spool.peek(tag - 1, 1):
                if event.sequence == tag:
                    self._put_aside(event, reason)
        elif tag != self._broker.topic("availability"):
            self._left_out[tag] = self._sizes.get(tag, 0)
            _log.warning("%s: %s is left out: %s", self._broker.where, tag, reason)
