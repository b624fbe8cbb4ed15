"""One connection to an MQTT broker, from CONNECT to its end, driven by one thread.

A connection is never repaired: the next one is a new `MqttConnection`. So paho-mqtt cannot resend messages of a lost
connection on its own, before or between older ones, and the order of events is kept.
"""

from __future__ import annotations

import select
import ssl
import time
from typing import TYPE_CHECKING

from edgehar.errors import SinkError
from edgehar.sinks.mqtt.options import broker_context

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

    from edgehar.sinks.mqtt.options import Broker, MqttOptions

# Messages sent but not yet acknowledged; brokers often allow 20.
WINDOW = 20
# MQTT 5: how long the broker keeps our session while we are disconnected, in seconds.
_SESSION_EXPIRY_S = 24 * 3600
# Largest message that is read, in bytes. A larger one ends the connection. The limit is not given to the broker as
# MQTT 5 allows, because mosquitto stops sending commands after 20 messages above it.
_MAX_READ_BYTES = 1_000_000

# What a message stands for: an event by its number in the spool, anything else by its topic.
Tag = int | str


class MqttConnection:
    """A connection. All methods and callbacks belong to one thread.

    Attributes:
        ready: the broker has accepted the connection.
        gone: why the connection has ended; None until then.
        max_packet_bytes: largest packet that the broker takes, as it said (MQTT 5); None if it did not.
        acknowledged: messages that the broker has acknowledged.
        told_too_large: the broker has ended the connection because a packet was too large (MQTT 5).
        flooded: the connection was ended because of a message above the limit for reading.
    """

    def __init__(
        self,
        broker: Broker,
        options: MqttOptions,
        *,
        fresh: bool = False,
        connect_timeout_s: float,
        on_acknowledged: Callable[[Tag], None],
        on_refused: Callable[[Tag | None, str], None],
        on_message: Callable[[str, bytes, bool], None],
    ) -> None:
        """Prepare a connection; `connect` opens it.

        Args:
            broker: address, identity and log-in.
            options: protocol and keep-alive.
            fresh: make the broker forget what it still has for us.
            connect_timeout_s: limit for TCP, for TLS, and for the broker's answer to CONNECT, in seconds each.
            on_acknowledged: called with the tag of each message that the broker has taken.
            on_refused: called with the tag of a message that the broker refuses, or None for a subscription, and why.
            on_message: called with topic, payload and whether the broker had retained it.

        Raises:
            SinkError: paho-mqtt is not installed.
            ConfigError: a TLS file is missing or not valid.
        """
        self.ready = self.told_too_large = self.flooded = False
        self.gone: str | None = None
        self.max_packet_bytes: int | None = None
        self.acknowledged = 0
        self._broker, self._options, self._fresh = broker, options, fresh
        self._timeout_s = connect_timeout_s
        self._on_acknowledged, self._on_refused, self._on_message = on_acknowledged, on_refused, on_message
        # By packet identifier: the tag, and when it was sent.
        self._in_flight: dict[int, tuple[Tag, float]] = {}
        self._window = WINDOW
        self._answer_due_s = 0.0
        self._client = self._make_client()

    def _make_client(self) -> Client:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        except ImportError as error:
            raise SinkError("MQTT needs paho-mqtt; run: pip install 'paho-mqtt>=2.1,<3'") from error
        check_size = self._check_size

        class BoundedClient(Client):
            """paho-mqtt has no limit of its own: it asks here for all that a message still lacks."""

            def _sock_recv(self, bufsize: int) -> bytes:
                check_size(bufsize)
                return super()._sock_recv(bufsize)

        five = self._options.protocol == "5"
        client = BoundedClient(
            CallbackAPIVersion.VERSION2,
            client_id=self._broker.client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            clean_session=None if five else self._fresh,
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._timeout_s
        client.will_set(self._broker.topic("availability"), "offline", qos=1, retain=True)
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls:
            # Created for every connection, because certificates are renewed while the program runs.
            client.tls_set_context(broker_context(self._options))
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_subscribe = self._on_publish, self._on_subscribe
        client.on_message = self._on_paho_message
        return client

    def connect(self) -> None:
        """Open the connection and send CONNECT; `ready` is set by the answer. Raises OSError if nobody listens."""
        where = (self._broker.host, self._broker.port, self._options.keepalive_s)
        if self._options.protocol == "5":
            from paho.mqtt.packettypes import PacketTypes
            from paho.mqtt.properties import Properties

            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = _SESSION_EXPIRY_S
            self._client.connect(*where, clean_start=self._fresh, properties=properties)
        else:
            self._client.connect(*where)
        self._answer_due_s = time.monotonic() + self._timeout_s

    @property
    def room(self) -> int:
        """The number of messages that may be sent now."""
        return max(self._window - len(self._in_flight), 0) if self.ready and self.gone is None else 0

    @property
    def unacknowledged(self) -> list[Tag]:
        """Tags of the messages that the broker has not acknowledged yet, in the order of sending."""
        return [tag for tag, _ in self._in_flight.values()]

    def holds(self, tag: Tag) -> bool:
        """Whether a message with this tag is not acknowledged yet."""
        return tag in self.unacknowledged

    def seconds_since_sent(self) -> float:
        """Seconds since the last message that is not acknowledged was sent."""
        return time.monotonic() - max((sent_s for _, sent_s in self._in_flight.values()), default=0.0)

    def publish(self, topic: str, payload: bytes, tag: Tag, *, retain: bool = False) -> None:
        """Send a message with QoS 1."""
        # paho only numbers it here; `step` reads the acknowledgement, so it cannot come before the tag is noted.
        number = self._client.publish(topic, payload, qos=1, retain=retain).mid
        self._in_flight[number] = (tag, time.monotonic())

    def publish_unless_busy(self, topic: str, payload: bytes) -> None:
        """Send a message with QoS 0, or drop it if the connection is not ready or still has something to send."""
        if self.room and not self._client.want_write():
            self._client.publish(topic, payload, qos=0)

    def subscribe(self, topics: Sequence[str]) -> None:
        """Ask for the messages of these topics."""
        if topics:
            self._client.subscribe([(topic, 1) for topic in topics])

    def unsubscribe(self, topic: str) -> None:
        """Ask for no more messages of a topic."""
        self._client.unsubscribe(topic)

    def step(self, timeout_s: float, wake: socket.socket) -> None:
        """Wait for the network or for `wake`, then read and write what is possible without waiting."""
        connection = self._client.socket()
        if connection is None:
            self._end("connection lost")
            return
        # `select` does not see what TLS has decrypted already.
        decrypted = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        writing = [connection] if self._client.want_write() else []
        readable, writable, _ = select.select([connection, wake], writing, [], 0 if decrypted else timeout_s)
        if decrypted or connection in readable:
            self._client.loop_read()
        if writable:
            self._client.loop_write()
        self._client.loop_misc()
        if not self.ready and time.monotonic() > self._answer_due_s:
            self._end("does not answer")

    def _check_size(self, size: int) -> None:
        """End the connection before a message is read that is too large for this device's memory."""
        if size > _MAX_READ_BYTES:
            self.flooded = True
            self._end(f"connection closed: someone published {size} bytes to a command topic")
            raise ConnectionAbortedError

    def disconnect(self, deadline_s: float, wake: socket.socket) -> None:
        """Disconnect cleanly, so that the broker does not publish the last will."""
        self._client.disconnect()
        while self.gone is None and time.monotonic() < deadline_s:
            self.step(0.05, wake)

    def abandon(self) -> None:
        """Close the connection without DISCONNECT."""
        self._end("given up")
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    def _end(self, why: str) -> None:
        # Keep the first reason, because others follow from it.
        self.gone = self.gone or why

    def _on_connect(
        self, _client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            hint = "; check user and password" if str(code) in ("Not authorized", "Bad user name or password") else ""
            self._end(f"refuses the connection: {code}{hint}")
            return
        self._window = min(WINDOW, getattr(properties, "ReceiveMaximum", WINDOW))
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        self.ready = True

    def _on_disconnect(
        self, _client: Client, _data: object, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        self.told_too_large = str(code) == "Packet too large"
        hint = f"; another client uses the client_id {self._broker.client_id}"
        self._end(f"connection lost: {code}{hint if str(code) == 'Session taken over' else ''}")

    def _on_publish(
        self, _client: Client, _data: object, number: int, code: ReasonCode, _properties: Properties | None
    ) -> None:
        tag, _ = self._in_flight.pop(number, (None, 0.0))
        if tag is None:
            return
        if code.is_failure:
            self._on_refused(tag, str(code))
        else:
            self.acknowledged += 1
            self._on_acknowledged(tag)

    def _on_subscribe(
        self, _client: Client, _data: object, _number: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if refused := [str(code) for code in codes if code.is_failure]:
            self._on_refused(None, refused[0])

    def _on_paho_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        self._on_message(topic, bytes(message.payload), message.retain)


def packet_bytes(topic: str, payload: bytes) -> int:
    """Return the size of the packet that publishes a message with QoS 1, in bytes (MQTT 5, section 3.3)."""
    # Length of the topic, packet identifier, and the length of the properties, which are empty.
    rest = 2 + len(topic.encode()) + 2 + 1 + len(payload)
    length_bytes = next(count for count in (1, 2, 3, 4) if rest < 128**count or count == 4)
    return 1 + length_bytes + rest
