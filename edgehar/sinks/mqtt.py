"""Results on an MQTT broker (MQTT 3.1.1, OASIS standard), in topics that Home Assistant and the like understand.

Under the base topic, all with QoS 1: `availability` (retained; `online` or, also as last will, `offline`), `state`
(retained, the latest prediction), `status` (retained, the latest status record) and `event` (every event).
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import threading
import urllib.parse
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from edgehar.errors import ConfigError, SinkError
from edgehar.results import Event, Prediction
from edgehar.sinks.base import Sink

if TYPE_CHECKING:
    from collections.abc import Callable

    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from edgehar.results import Record

_log = logging.getLogger(__name__)

PASSWORD_VARIABLE = "EDGEHAR_MQTT_PASSWORD"  # noqa: S105 - the name, not the password
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_EXAMPLE = "mqtt://user:password@host:1883/base/topic"

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 5.0
RECONNECT_MIN_S, RECONNECT_MAX_S = 1, 60
# How long a clean end waits for the broker to take what is left, and then for it to take `offline`.
DRAIN_TIMEOUT_S, OFFLINE_TIMEOUT_S = 3.0, 1.0
# Events kept in memory while the broker is away; the oldest go first.
EVENTS_KEPT = 1000
# Messages given to the client library but not yet acknowledged.
_IN_FLIGHT = 20


@dataclass(frozen=True)
class MqttSettings:
    """Where and how to publish.

    Attributes:
        host: name or address of the broker.
        port: TCP port.
        tls: whether to speak TLS, with the certificate authorities of the system.
        username: None for no log-in.
        password: never shown.
        base_topic: what all topics begin with.
    """

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None = field(repr=False)
    base_topic: str

    @property
    def where(self) -> str:
        """The broker's address as it may be shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_mqtt_url(url: str) -> MqttSettings:
    """Read `mqtt://user:password@host:1883/base/topic`, or the same with `mqtts` for TLS.

    User, password, port and topic may be left out: no log-in, 1883 or 8883, and `edgehar/<host name>`. Special
    characters are percent-encoded. The password may instead be in the environment variable EDGEHAR_MQTT_PASSWORD.

    Raises:
        ConfigError: the URL cannot be used. The message never repeats it, for it may hold a password.
    """
    if not url.startswith(tuple(f"{scheme}://" for scheme in _PORTS)):
        raise ConfigError(f"--mqtt: the address must begin with mqtt:// or mqtts://, for example {_EXAMPLE}")
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        host, port = "", None
    # A password with a bare "/", "?" or "#" splits the address in the wrong place; its "@" then stands after the host.
    if not host or port == 0 or parts.query or parts.fragment or "@" in parts.path:
        raise ConfigError(
            f"--mqtt: the address has no valid host or port; write {_EXAMPLE}, special characters percent-encoded "
            "(# as %23, / as %2F, ? as %3F, @ as %40)"
        )
    username = urllib.parse.unquote(parts.username) if parts.username else None
    password = urllib.parse.unquote(parts.password) if parts.password else os.environ.get(PASSWORD_VARIABLE)
    if parts.password and username is None:
        raise ConfigError(f"--mqtt: a password needs a user; write {_EXAMPLE}")
    topic = _checked_topic(urllib.parse.unquote(parts.path.strip("/")) or f"edgehar/{_device_name()}")
    tls = parts.scheme == "mqtts"
    return MqttSettings(host, port or _PORTS[parts.scheme], tls, username, password if username else None, topic)


def _checked_topic(topic: str) -> str:
    if topic.startswith("$") or any(character in topic for character in "+#\0") or len(topic.encode()) > 60_000:
        raise ConfigError("--mqtt: the base topic must not begin with $ or contain + or #; an example: edgehar/hall")
    return topic


def _device_name() -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname()).strip("-") or "device"


class MqttSink(Sink):
    """Publishes results; a broker that is away delays nothing and is spoken of once.

    Meanwhile the latest prediction and the last `EVENTS_KEPT` events are kept, and published when it is back.
    """

    name = "mqtt"

    def __init__(self, settings: MqttSettings) -> None:
        """Begin to connect, in the background.

        Raises:
            SinkError: paho-mqtt is not installed.
        """
        self._settings = settings
        self._encoder = msgspec.json.Encoder()
        self._changed = threading.Condition()
        # All below is guarded by `_changed`, which is never held while calling the client: it calls back under its own
        # locks.
        self._newest: dict[str, bytes] = {}
        self._events: deque[bytes] = deque(maxlen=EVENTS_KEPT)
        self._events_lost = self._in_flight = 0
        self._connected = self._down = self._closing = False
        self._client = self._make_client()
        self._publisher = threading.Thread(target=self._publish_all, name="edgehar-mqtt", daemon=True)
        self._publisher.start()
        self._client.connect_async(settings.host, settings.port, KEEPALIVE_S)
        self._client.loop_start()

    def _make_client(self) -> Client:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise SinkError("--mqtt needs paho-mqtt; run: pip install 'paho-mqtt>=2.1,<3'") from error
        # A fixed identity: a broker that still holds our lost connection drops that one, and its will comes first.
        client = Client(CallbackAPIVersion.VERSION2, client_id=self._settings.base_topic.replace("/", "-"))
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        client.will_set(self._topic("availability"), "offline", qos=1, retain=True)
        if self._settings.username is not None:
            client.username_pw_set(self._settings.username, self._settings.password)
        if self._settings.tls:
            client.tls_set()
        client.on_connect, client.on_connect_fail = self._on_connect, self._on_connect_fail
        client.on_disconnect, client.on_publish = self._on_disconnect, self._on_publish
        return client

    def write(self, record: Record) -> None:
        """Take a record to publish; never waits for the broker."""
        payload = self._encoder.encode(record)
        with self._changed:
            if isinstance(record, Event):
                self._events_lost += len(self._events) == EVENTS_KEPT
                self._events.append(payload)
            else:
                self._newest["state" if isinstance(record, Prediction) else "status"] = payload
            self._changed.notify_all()

    def close(self) -> None:
        """Publish what is left and `offline`, as far as the broker is there to take it, and disconnect."""
        self._wait_for(lambda: self._down or (self._connected and self._is_idle()), DRAIN_TIMEOUT_S)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._publisher.join()
        if self._connected:
            self._publish("availability", b"offline", retain=True)
            self._wait_for(lambda: self._down or not self._in_flight, OFFLINE_TIMEOUT_S)
        self._client.disconnect()
        if self._connected:
            # Not otherwise: it would wait for a connection attempt to fail. That thread ends by itself.
            self._client.loop_stop()
        lost = len(self._events) + self._events_lost
        if lost:
            _log.warning("%s: %d events could not be published", self._settings.where, lost)

    def _wait_for(self, condition: Callable[[], bool], timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(condition, timeout_s)

    def _is_idle(self) -> bool:
        return not (self._newest or self._events or self._in_flight)

    def _topic(self, name: str) -> str:
        return f"{self._settings.base_topic}/{name}"

    def _publish(self, name: str, payload: bytes, *, retain: bool) -> None:
        with self._changed:
            self._in_flight += 1
        # Without a connection the client keeps a QoS 1 message and sends it on the next one.
        self._client.publish(self._topic(name), payload, qos=1, retain=retain)

    def _publish_all(self) -> None:
        """Work of the publisher thread: events first, in order, then what is newest."""
        while (message := self._next_message()) is not None:
            name, payload = message
            self._publish(name, payload, retain=name != "event")

    def _next_message(self) -> tuple[str, bytes] | None:
        def ready() -> bool:
            waiting = bool(self._events or self._newest)
            return self._closing or (waiting and self._connected and self._in_flight < _IN_FLIGHT)

        with self._changed:
            self._changed.wait_for(ready)
            if self._closing:
                return None
            if self._events:
                return "event", self._events.popleft()
            name = next(iter(self._newest))
            return name, self._newest.pop(name)

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._gone(f"refuses the connection: {code}; check user and password")
            return
        self._publish("availability", b"online", retain=True)
        with self._changed:
            again = "again " if self._down else ""
            self._connected, self._down = True, False
            self._changed.notify_all()
        _log.info("%s: connected %sas %s", self._settings.where, again, self._settings.base_topic)

    def _on_connect_fail(self, _client: Client, _data: object) -> None:
        # The client calls this from its `except` clause, and passes no reason on.
        error = sys.exc_info()[1]
        self._gone(f"cannot be reached: {getattr(error, 'strerror', None) or error or 'no answer'}")

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if not self._closing:
            self._gone(f"connection lost: {code}")

    def _on_publish(
        self, _client: Client, _data: object, _mid: int, _code: ReasonCode, _properties: Properties
    ) -> None:
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def _gone(self, why: str) -> None:
        with self._changed:
            first, self._connected, self._down = not self._down, False, True
            self._changed.notify_all()
        if first and not self._closing:
            _log.warning("%s: %s; classifying goes on, trying to connect again", self._settings.where, why)
