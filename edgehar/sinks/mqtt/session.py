"""The session with an MQTT broker: keeps a connection open, and publishes what the outbox holds.

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
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgehar.backoff import Backoff
from edgehar.errors import ConfigError
from edgehar.sinks.mqtt.connection import MqttConnection
from edgehar.sinks.mqtt.outbox import MqttOutbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgehar.sinks.mqtt.connection import Tag
    from edgehar.sinks.mqtt.options import Broker, MqttOptions, MqttTiming
    from edgehar.sinks.spool.queue import Spool

_log = logging.getLogger(__name__)

_GOODBYE = "$goodbye"
# So many connections lost within so many seconds suggest a second client with our identity.
_LOST_OFTEN, _LOST_WITHIN_S = 4, 180.0


@dataclass(frozen=True, slots=True)
class MqttTopics:
    """The topics that a session publishes, and the topics that it listens to.

    Attributes:
        event: returns the topic of an event's payload.
        retained: topics and payloads to publish on every connection, in this order.
        subscriptions: topics to listen to.
        on_message: called on the session's thread with topic, payload and whether the broker had retained it.
    """

    event: Callable[[bytes], str]
    retained: Mapping[str, bytes]
    subscriptions: Sequence[str]
    on_message: Callable[[str, bytes, bool], None]


class MqttSession:
    """Keeps retained topics and events at the broker up to date.

    Attributes:
        connected: whether the broker has accepted us and the connection lasts.
        reconnects: how often a connection followed an earlier one.
    """

    def __init__(
        self, broker: Broker, options: MqttOptions, spool: Spool, *, topics: MqttTopics, timing: MqttTiming
    ) -> None:
        """Start to connect, in the background.

        Args:
            broker: address, identity and log-in.
            options: protocol and keep-alive.
            spool: where events wait; they are removed when the broker acknowledges them.
            topics: what to publish and listen to.
            timing: timeouts and delays.

        Raises:
            SinkError: paho-mqtt is not installed.
        """
        self.connected, self.reconnects = False, 0
        self._broker, self._options, self._spool = broker, options, spool
        self._topics, self._timing = topics, timing
        self._outbox = MqttOutbox(
            broker,
            spool,
            event_topic=topics.event,
            retained=topics.retained,
            retry_first_s=timing.retry_first_s,
            warn=self._warn,
        )
        # Topics to listen to, and changes that the broker does not know yet; appended to by any thread.
        self._listening = dict.fromkeys(topics.subscriptions)
        self._listen_changes: deque[tuple[str, bool]] = deque()
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

    def hold(self, topic: str, payload: bytes, *, now: bool = True) -> None:
        """Set the payload of a retained topic. Only the newest is kept.

        Args:
            topic: the topic.
            payload: the payload.
            now: whether to publish it at once; it is published on every later connection in any case.
        """
        self._outbox.hold(topic, payload, now=now)
        if now:
            self._nudge()

    def pass_on(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0 if the broker is there and keeps up, else drop it."""
        if self.connected:
            self._outbox.pass_on(topic, payload)
            self._nudge()

    def subscribe(self, topic: str) -> None:
        """Listen to one more topic. The broker sends its retained messages again, also if it was listened to."""
        self._listen_changes.append((topic, True))
        self._nudge()

    def unsubscribe(self, topic: str) -> None:
        """Listen to a topic no longer."""
        self._listen_changes.append((topic, False))
        self._nudge()

    def events_wait(self) -> None:
        """Tell the session that the spool holds a new event."""
        self._outbox.events_wait()
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
            on_acknowledged=self._outbox.acknowledged,
            on_refused=self._on_refused,
            on_message=self._topics.on_message,
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
                self._warn(why, "; retrying, classification continues")
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
                    self._announce_at_s = None
                    self._outbox.announce()
                self._change_subscriptions(connection)
                self._outbox.publish(connection)
            connection.step(self._idle_s(), self._wake)
            self._drain_nudges()
        return connection.gone

    def _idle_s(self) -> float:
        """Seconds in which nothing must be done, unless something happens."""
        if self._closing_at_s is not None:
            return 0.05
        waits = [1.0, self._outbox.wait_s()]
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
        connection.subscribe(list(self._listening))
        self._announce_at_s = None
        self._outbox.start(connection)
        self.connected, self._connected_at_s = True, time.monotonic()

    def _change_subscriptions(self, connection: MqttConnection) -> None:
        while self._listen_changes:
            topic, wanted = self._listen_changes.popleft()
            if wanted:
                self._listening[topic] = None
                connection.subscribe([topic])
            else:
                self._listening.pop(topic, None)
                connection.unsubscribe(topic)

    def _on_refused(self, tag: Tag | None, reason: str) -> None:
        if tag is None:
            self._warn(f"refuses a subscription, so some commands will not arrive: {reason}")
        elif tag != _GOODBYE:
            self._outbox.refused(tag, reason)

    def _learn_from_end(self, connection: MqttConnection) -> None:
        """Find out why a connection has ended: a message that the broker does not take, or a second client."""
        if connection.flooded:
            # The broker would send the same message again.
            self._fresh = True
        if not connection.ready or self._closing_at_s is not None:
            return
        if connection.unacknowledged:
            self._outbox.connection_lost(connection)
        else:
            self._hint_at_second_client()

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
        waiting = self._outbox.waiting or connection.unacknowledged
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
