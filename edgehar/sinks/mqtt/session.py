"""The session with an MQTT broker: connects for ever, and publishes what waits, in order.

One thread does it all. A broker that is away, frozen, restarted empty or unwilling is tried again after a random while
that grows to a minute; each time it is back, it gets all retained messages anew, and every event it has not
acknowledged.
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
from edgehar.sinks.mqtt.connection import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edgehar.sinks.mqtt.connection import Tag
    from edgehar.sinks.mqtt.options import Broker, MqttOptions
    from edgehar.sinks.spool.queue import Spool

_log = logging.getLogger(__name__)

RECONNECT_MIN_S, RECONNECT_MAX_S = 1.0, 60.0
# A connection that lasted so long was a good one: the next attempt comes soon.
_STEADY_S = 10.0
# How long a clean end waits for the broker to take what is left, and then for it to take `offline`.
DRAIN_TIMEOUT_S, OFFLINE_TIMEOUT_S = 3.0, 1.0
# Predictions of QoS 0 that may wait for the thread; the oldest go first.
_PREDICTIONS_WAITING = 16
_GOODBYE = "$goodbye"


class Session:
    """Keeps retained topics and events at the broker up to date.

    Attributes:
        connected: whether the broker is there and has accepted us.
        reconnects: how often it came back after it had been there.
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
    ) -> None:
        """Begin to connect, in the background.

        Args:
            broker: where to.
            options: how.
            spool: where events wait; they are taken from it as the broker acknowledges them.
            event_topic: the topic of an event's payload.
            retained: topics and payloads to publish whenever the broker is back, in this order.
            subscriptions: topics to listen to.
            on_message: called on the session's thread with topic, payload and whether it had been retained.

        Raises:
            SinkError: paho-mqtt is not installed.
        """
        self.connected, self.reconnects = False, 0
        self._broker, self._options, self._spool = broker, options, spool
        self._event_topic, self._subscriptions, self._on_message = event_topic, subscriptions, on_message
        self._lock = threading.Lock()
        # Guarded by the lock: what every topic shall hold, and which of them the broker does not know of yet.
        self._retained = {broker.topic("availability"): b"online", **retained}
        self._stale: dict[str, None] = {}
        self._passing: deque[tuple[str, bytes]] = deque(maxlen=_PREDICTIONS_WAITING)
        self._events_wait = False
        # The last event given to the broker on this connection.
        self._sent = 0
        self._announce_at_s: float | None = None
        self._closing_at_s: float | None = None
        self._told: set[str] = set()
        self._has_told = False  # since the last connection
        self._attempts = 0
        self._connected_at_s = 0.0
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        # Made here, so that what cannot work at all is an error of the caller.
        first = self._make_link()
        self._thread = threading.Thread(target=self._work, args=(first,), name="edgehar-mqtt", daemon=True)
        self._thread.start()

    def hold(self, topic: str, payload: bytes) -> None:
        """Let a retained topic hold `payload`, now and whenever the broker comes back; only the newest is kept."""
        with self._lock:
            self._retained[topic] = payload
            self._stale[topic] = None
        self._nudge()

    def pass_on(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0 if the broker is there and keeps up, else forget it."""
        if self.connected:
            self._passing.append((topic, payload))
            self._nudge()

    def events_wait(self) -> None:
        """Say that the spool holds something new."""
        self._events_wait = True
        self._nudge()

    def announce_soon(self, within_s: float) -> None:
        """Publish all retained topics again after a random while."""
        self._announce_at_s = time.monotonic() + random.uniform(0, within_s)  # noqa: S311 - no secret

    def close(self) -> None:
        """Publish what is left and `offline`, as far as the broker is there to take it, and disconnect."""
        self._closing_at_s = time.monotonic()
        self._nudge(always=True)
        # A connection attempt may hold the thread up for longer; it then ends by itself.
        self._thread.join(DRAIN_TIMEOUT_S + OFFLINE_TIMEOUT_S)

    def _nudge(self, *, always: bool = False) -> None:
        if self.connected or always:
            # It may be awake already, or have ended.
            with contextlib.suppress(OSError):
                self._waker.send(b"\0")

    def _make_link(self) -> Link:
        return Link(
            self._broker,
            self._options,
            on_acknowledged=self._on_acknowledged,
            on_message=self._on_message,
            on_refused=self._tell,
        )

    def _work(self, first: Link) -> None:
        link: Link | None = first
        backoff = Backoff(RECONNECT_MIN_S, RECONNECT_MAX_S)
        while self._closing_at_s is None or link is first:
            why = self._try(link)
            link = None
            if self.connected and time.monotonic() - self._connected_at_s > _STEADY_S:
                backoff.reset()
                self._told.clear()
            self.connected = False
            if why:
                self._tell(why, "; classifying goes on, trying to connect again")
            self._attempts += 1
            self._pause(backoff.next_delay_s())
        self._wake.close()
        self._waker.close()

    def _try(self, link: Link | None) -> str:
        """One connection, or the attempt; says why it ended, nothing when that was asked for."""
        try:
            link = link or self._make_link()
            return self._serve(link)
        except ConfigError as error:
            return str(error)
        except OSError as error:
            # Only a certificate that was looked at and refused has this.
            if distrust := getattr(error, "verify_message", None):
                return f"its certificate is not accepted: {distrust}"
            return f"cannot be reached: {error.strerror or error}"
        except Exception as error:
            # Whatever it is, capturing and the other sinks go on, and so shall this one.
            _log.debug("%s: unexpected", self._broker.where, exc_info=True)
            return f"{type(error).__name__}: {error}"
        finally:
            if link is not None:
                link.abandon()

    def _tell(self, what: str, consequence: str = "") -> None:
        """Log what is wrong at the broker; each thing once until a connection has lasted, its consequence only once."""
        if what not in self._told:
            _log.warning("%s: %s%s", self._broker.where, what, "" if self._told else consequence)
            self._told.add(what)
            self._has_told = True

    def _pause(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while self._closing_at_s is None and (left_s := end_s - time.monotonic()) > 0:
            select.select([self._wake], [], [], left_s)
            self._drain_nudges()

    def _drain_nudges(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake.recv(4096):
                pass

    def _serve(self, link: Link) -> str:
        link.connect()
        while link.gone is None:
            if self._has_closed(link):
                return ""
            if link.ready:
                if not self.connected:
                    self._greet(link)
                if self._announce_at_s is not None and time.monotonic() >= self._announce_at_s:
                    self._announce()
                self._publish(link)
            link.step(self._idle_s(), self._wake)
            self._drain_nudges()
        return link.gone

    def _idle_s(self) -> float:
        """How long nothing has to be done, unless something happens."""
        if self._closing_at_s is not None:
            return 0.05
        return 1.0 if self._announce_at_s is None else min(max(self._announce_at_s - time.monotonic(), 0), 1.0)

    def _greet(self, link: Link) -> None:
        again = "again " if self._attempts else ""
        self.reconnects += self._connected_at_s > 0
        waiting = self._spool.depth
        backlog = f"; {waiting} events to deliver" if again and waiting else ""
        level = logging.INFO if self._has_told or not again else logging.DEBUG
        _log.log(level, "%s: connected %sas %s%s", self._broker.where, again, self._broker.base_topic, backlog)
        self._has_told = False
        link.subscribe(self._subscriptions)
        self._announce()
        self._sent, self._events_wait = 0, True
        self.connected, self._connected_at_s = True, time.monotonic()

    def _announce(self) -> None:
        self._announce_at_s = None
        with self._lock:
            self._stale = dict.fromkeys(self._retained)

    def _publish(self, link: Link) -> None:
        """Give the broker as much as it takes now: retained topics first, one message of each at a time."""
        with self._lock:
            ready = [topic for topic in self._stale if not link.holds(topic)][: link.room]
            messages = [(topic, self._retained[topic]) for topic in ready]
            for topic in ready:
                del self._stale[topic]
        for topic, payload in messages:
            link.publish(topic, payload, topic, retain=True)
        while self._events_wait and (room := link.room):
            self._events_wait = False
            events = self._spool.peek(self._sent, room)
            for event in events:
                link.publish(self._event_topic(event.payload), event.payload, event.sequence)
                self._sent = event.sequence
            if len(events) == room:
                self._events_wait = True
        while self._passing:
            link.publish_unless_busy(*self._passing.popleft())

    def _on_acknowledged(self, tag: Tag) -> None:
        if isinstance(tag, int):
            self._spool.remove(tag)

    def _has_closed(self, link: Link) -> bool:
        """Whether the end was asked for and has come: all is published, or time is up."""
        if self._closing_at_s is None:
            return False
        deadline_s = self._closing_at_s + DRAIN_TIMEOUT_S
        busy = not self.connected or self._stale or self._events_wait or link.unacknowledged
        if busy and time.monotonic() < deadline_s:
            return False
        if self.connected:
            self._take_leave(link)
        return True

    def _take_leave(self, link: Link) -> None:
        deadline_s = time.monotonic() + OFFLINE_TIMEOUT_S
        link.publish(self._broker.topic("availability"), b"offline", _GOODBYE, retain=True)
        while link.gone is None and link.holds(_GOODBYE) and time.monotonic() < deadline_s:
            link.step(0.05, self._wake)
            self._drain_nudges()
        link.disconnect(deadline_s, self._wake)
