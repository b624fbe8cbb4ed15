"""The session with an MQTT broker: keeps a connection open, and publishes what waits, in order.

One thread does everything. It reconnects with exponential backoff and full jitter, up to 60 s. On every connection it
publishes all retained topics, and every event that the broker has not acknowledged.
"""

from __future__ import annotations

import contextlib
import logging
import random
import select
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from edgehar.backoff import Backoff
from edgehar.errors import ConfigError
from edgehar.sinks.mqtt.connection import MqttConnection, packet_bytes
from edgehar.sinks.mqtt.limits import PacketLimit, Refusals
from edgehar.sinks.mqtt.options import MqttTiming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from edgehar.sinks.mqtt.connection import Tag
    from edgehar.sinks.mqtt.options import Broker, MqttOptions
    from edgehar.sinks.spool.queue import Spool, SpooledEvent

_log = logging.getLogger(__name__)

# Messages of QoS 0 that may wait for the thread; the oldest are dropped first.
_PASSING_MAX = 16
_GOODBYE = "$goodbye"
# So many connections lost within so many seconds suggest a second client with our identity.
_LOST_OFTEN, _LOST_WITHIN_S = 4, 180.0
# Interval of log lines about events that were set aside, in seconds.
_SET_ASIDE_EVERY_S = 60.0


class MqttSession:
    """Keeps retained topics and events at the broker up to date.

    Attributes:
        connected: whether the broker has accepted us and the connection lasts.
        reconnects: how often a connection followed an earlier one.
    """

    def __init__(
        self,
        broker: Broker,
        options: MqttOptions,
        spool: Spool,
        *,
        event_topic: Callable[[bytes], str],
        retained: Mapping[str, bytes],
        subscriptions: Sequence[str] = (),
        on_message: Callable[[str, bytes, bool], None],
        timing: MqttTiming,
    ) -> None:
        """Start to connect, in the background.

        Args:
            broker: address, identity and log-in.
            options: protocol and keep-alive.
            spool: where events wait; they are removed when the broker acknowledges them.
            event_topic: returns the topic of an event's payload.
            retained: topics and payloads to publish on every connection, in this order.
            subscriptions: topics to listen to.
            on_message: called on the session's thread with topic, payload and whether the broker had retained it.
            timing: timeouts and delays.

        Raises:
            SinkError: paho-mqtt is not installed.
        """
        self.connected, self.reconnects = False, 0
        self._broker, self._options, self._spool, self._timing = broker, options, spool, timing
        self._event_topic, self._subscriptions, self._on_message = event_topic, subscriptions, on_message
        self._lock = threading.Lock()
        # Guarded by the lock: the payload of every retained topic, and the topics the broker must be told.
        self._retained = {broker.topic("availability"): b"online", **retained}
        self._stale: dict[str, None] = {}
        self._passing: deque[tuple[str, bytes]] = deque(maxlen=_PASSING_MAX)
        self._events_wait = False
        # The last event taken from the spool on this connection, those not sent yet, and the sizes of packets.
        self._sent = 0
        self._next: deque[SpooledEvent] = deque()
        self._sizes: dict[Tag, int] = {}
        # What the broker does not take: topics that it closes the connection for, with the size, and what was refused.
        self._limit, self._refusals = PacketLimit(), Refusals(timing.retry_first_s)
        self._left_out: dict[str, int] = {}
        self._set_aside_s, self._set_aside = -_SET_ASIDE_EVERY_S, 0
        self._announce_at_s: float | None = None
        self._closing_at_s: float | None = None
        # Messages logged since the last connection that lasted, and whether any was since the last connection.
        self._logged: set[str] = set()
        self._has_logged = False
        self._attempts = 0
        self._connected_at_s = 0.0
        self._lost_at_s: deque[float] = deque(maxlen=_LOST_OFTEN)
        self._fresh = False
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        # Created here, so that the caller gets an error that no retry would fix.
        first = self._make_connection()
        self._thread = threading.Thread(target=self._work, args=(first,), name="edgehar-mqtt", daemon=True)
        self._thread.start()

    def hold(self, topic: str, payload: bytes) -> None:
        """Set the payload of a retained topic, now and on every later connection. Only the newest is kept."""
        with self._lock:
            self._retained[topic] = payload
            self._stale[topic] = None
        self._nudge()

    def pass_on(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0 if the broker is there and keeps up, else drop it."""
        if self.connected:
            self._passing.append((topic, payload))
            self._nudge()

    def events_wait(self) -> None:
        """Tell the session that the spool holds a new event."""
        self._events_wait = True
        self._nudge()

    def announce_soon(self) -> None:
        """Publish all retained topics again, after a random delay, because other devices do so at the same time."""
        delay_s = random.uniform(0, self._timing.announce_within_s)  # noqa: S311 - no secret
        self._announce_at_s = time.monotonic() + delay_s

    def close(self) -> None:
        """Publish what is left and `offline`, as far as the broker takes it in time, and disconnect."""
        self._closing_at_s = time.monotonic()
        self._nudge(always=True)
        # A connection attempt may keep the thread longer; it ends on its own.
        self._thread.join(self._timing.drain_timeout_s + self._timing.offline_timeout_s)

    def _nudge(self, *, always: bool = False) -> None:
        if self.connected or always:
            # The thread may be awake already, or have ended.
            with contextlib.suppress(OSError):
                self._waker.send(b"\0")

    def _make_connection(self) -> MqttConnection:
        fresh, self._fresh = self._fresh, False
        return MqttConnection(
            self._broker,
            self._options,
            fresh=fresh,
            connect_timeout_s=self._timing.connect_timeout_s,
            on_acknowledged=self._on_acknowledged,
            on_refused=self._on_refused,
            on_message=self._on_message,
        )

    def _work(self, first: MqttConnection) -> None:
        connection: MqttConnection | None = first
        backoff = Backoff(self._timing.reconnect_first_s, self._timing.reconnect_max_s)
        while self._closing_at_s is None or connection is first:
            why = self._try(connection)
            connection = None
            if self.connected and time.monotonic() - self._connected_at_s > self._timing.steady_s:
                backoff.reset()
                self._logged.clear()
            self.connected = False
            if why:
                self._warn(why, "; classifying goes on, trying to connect again")
            self._attempts += 1
            self._pause(backoff.next_delay_s())
        self._wake.close()
        self._waker.close()

    def _try(self, connection: MqttConnection | None) -> str:
        """Connect, or use a connection, until it ends. Returns why it ended, or "" if `close` asked for it."""
        try:
            connection = connection or self._make_connection()
            return self._serve(connection)
        except ConfigError as error:
            return str(error)
        except OSError as error:
            # Only a certificate that was checked and refused has this.
            if distrust := getattr(error, "verify_message", None):
                return f"its certificate is not accepted: {distrust}"
            return f"cannot be reached: {error.strerror or error}"
        except Exception as error:
            # Whatever it is, capturing and the other sinks go on, and so does this one.
            _log.debug("%s: unexpected", self._broker.where, exc_info=True)
            return f"{type(error).__name__}: {error}"
        finally:
            if connection is not None:
                self._learn_from_end(connection)
                connection.abandon()

    def _warn(self, what: str, consequence: str = "") -> None:
        """Log a problem once until a connection has lasted, and its consequence with the first problem only."""
        if what not in self._logged:
            _log.warning("%s: %s%s", self._broker.where, what, "" if self._logged else consequence)
            self._logged.add(what)
            self._has_logged = True

    def _pause(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while self._closing_at_s is None and (left_s := end_s - time.monotonic()) > 0:
            select.select([self._wake], [], [], left_s)
            self._drain_nudges()

    def _drain_nudges(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake.recv(4096):
                pass

    def _serve(self, connection: MqttConnection) -> str:
        connection.connect()
        while connection.gone is None:
            if self._has_closed(connection):
                return ""
            if connection.ready:
                if not self.connected:
                    self._greet(connection)
                if self._announce_at_s is not None and time.monotonic() >= self._announce_at_s:
                    self._announce()
                self._publish(connection)
            connection.step(self._idle_s(), self._wake)
            self._drain_nudges()
        return connection.gone

    def _idle_s(self) -> float:
        """Seconds in which nothing must be done, unless something happens."""
        if self._closing_at_s is not None:
            return 0.05
        waits = [1.0, self._refusals.wait_s()]
        if self._announce_at_s is not None:
            waits.append(self._announce_at_s - time.monotonic())
        return max(0.0, min(wait_s for wait_s in waits if wait_s is not None))

    def _greet(self, connection: MqttConnection) -> None:
        again = "again " if self._attempts else ""
        self.reconnects += self._connected_at_s > 0
        waiting = self._spool.depth
        backlog = f"; {waiting} events to deliver" if again and waiting else ""
        level = logging.INFO if self._has_logged or not again else logging.DEBUG
        _log.log(level, "%s: connected %sas %s%s", self._broker.where, again, self._broker.base_topic, backlog)
        self._has_logged = False
        self._limit.told(connection.max_packet_bytes)
        self._refusals.retry_all()
        self._sizes.clear()
        self._next.clear()
        connection.subscribe(self._subscriptions)
        self._announce()
        self._sent, self._events_wait = 0, True
        self.connected, self._connected_at_s = True, time.monotonic()

    def _announce(self) -> None:
        self._announce_at_s = None
        with self._lock:
            self._stale = dict.fromkeys(self._retained)

    def _publish(self, connection: MqttConnection) -> None:
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
        """Yield topics and payloads while there is room, those that may end the connection last."""
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

    def _on_acknowledged(self, tag: Tag) -> None:
        self._limit.taken(tag, self._sizes.pop(tag, 0))
        if isinstance(tag, int):
            self._refusals.taken(tag)
            self._spool.remove(tag)

    def _on_refused(self, tag: Tag | None, reason: str) -> None:
        if tag is None:
            self._warn(f"refuses a subscription, so some commands will not arrive: {reason}")
            return
        size = self._sizes.pop(tag, 0)
        if reason == "Packet too large":
            self._limit.blame(tag, size)
        self._limit.taken(tag, 0)
        if isinstance(tag, str):
            if tag != _GOODBYE:
                self._warn(f"refuses {tag}: {reason}")
        elif reason != "Packet too large" and self._refusals.add(tag, reason):
            self._warn(f"refuses an event: {reason}; sending it again later, after others")
        else:
            self._drop(tag, f"refused: {reason}")

    def _learn_from_end(self, connection: MqttConnection) -> None:
        """Find out whether a message is to blame for the end of a connection, and leave that one out from now on."""
        if connection.flooded:
            # The broker would send the same message again.
            self._fresh = True
        if not connection.ready or self._closing_at_s is not None:
            return
        unacknowledged = connection.unacknowledged
        if not unacknowledged:
            self._hint_at_second_client()
            return

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

    def _hint_at_second_client(self) -> None:
        """Log a hint if connections are lost so often that a second client may use our identity."""
        now_s = time.monotonic()
        self._lost_at_s.append(now_s)
        if len(self._lost_at_s) == _LOST_OFTEN and now_s - self._lost_at_s[0] < _LOST_WITHIN_S:
            self._warn(
                f"the broker has closed {_LOST_OFTEN} connections within {_LOST_WITHIN_S:.0f} s; check that no other "
                f"client uses the client_id {self._broker.client_id}, and give each device a base topic of its own"
            )

    def _has_closed(self, connection: MqttConnection) -> bool:
        """Whether `close` was called and its work is done: all is published, or time is up."""
        if self._closing_at_s is None:
            return False
        deadline_s = self._closing_at_s + self._timing.drain_timeout_s
        waiting = self._stale or self._next or self._events_wait or connection.unacknowledged
        if (not self.connected or waiting) and time.monotonic() < deadline_s:
            return False
        if self.connected:
            self._say_goodbye(connection)
        return True

    def _say_goodbye(self, connection: MqttConnection) -> None:
        deadline_s = time.monotonic() + self._timing.offline_timeout_s
        connection.publish(self._broker.topic("availability"), b"offline", _GOODBYE, retain=True)
        while connection.gone is None and connection.holds(_GOODBYE) and time.monotonic() < deadline_s:
            connection.step(0.05, self._wake)
            self._drain_nudges()
        connection.disconnect(deadline_s, self._wake)
